// A batch out of the data set: bytes of scattered images to floats, image innermost, normalised and perhaps moved.
//
// Sixteen images at a time: their pixels of one row are put side by side as bytes, then turned to floats vector by
// vector.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Pixels of a row that are put side by side at a time.
inline constexpr int kGatherPixels = 64;

// Whether a column's row comes from the image at all, and from where.
struct GatherRow {
  const std::uint8_t* from;
  int move;
  bool flip;
};

// bytes[w][i] for pixels [w0, w0 + count) of up to 16 images; inside[w][i] is 0 where the pixel lies outside its image.
inline void interleave(const GatherRow* rows, int images, int width, int w0, int count, std::uint8_t* bytes,
                       std::uint8_t* inside) {
  for (int i = 0; i < images; ++i) {
    const GatherRow& row = rows[i];
    std::uint8_t* to = bytes + i;
    std::uint8_t* in = inside + i;
    for (int w = 0; w < count; ++w, to += kLanes, in += kLanes) {
      const int at = (row.flip ? width - 1 - (w0 + w) : w0 + w) + row.move;
      const bool there = row.from != nullptr && at >= 0 && at < width;
      *to = there ? row.from[at] : std::uint8_t{0};
      *in = there ? std::uint8_t{1} : std::uint8_t{0};
    }
  }
}

// The same for images that nobody moved.
inline void interleave_plain(const GatherRow* rows, int images, int w0, int count, std::uint8_t* bytes) {
  if (count < kLanes) {
    for (int i = 0; i < images; ++i) {
      for (int w = 0; w < count; ++w) bytes[w * kLanes + i] = rows[i].from[w0 + w];
    }
    return;
  }
  for (int w = 0; w < count; w += kLanes) {
    // The last sixteen pixels may repeat some of the ones before; missing images repeat the first.
    const int at = smaller(w, count - kLanes);
    const std::uint8_t* from[kLanes];
    for (int i = 0; i < kLanes; ++i) from[i] = rows[i < images ? i : 0].from + w0 + at;
    transpose_bytes(from, bytes + at * kLanes);
  }
}

inline void gather_images(Parallel& parallel, const GatherArgs& args, float* out) {
  const Index batch = args.batch, plane = Index{args.height} * args.width, image = args.channels * plane;
  const Index units = Index{args.channels} * args.height;
  const bool moved = args.offset_y != nullptr || args.offset_x != nullptr || args.flip != nullptr;
  const int tasks = task_count(parallel, units, Index{32768} / larger<Index>(args.width * batch, 1) + 1);
  auto body = [&](int task, int) {
    alignas(64) std::uint8_t bytes[kGatherPixels * kLanes] = {};
    alignas(64) std::uint8_t inside[kGatherPixels * kLanes] = {};
    const Vec zero = Vec::zero();
    for (Index u = part_begin(units, tasks, task); u < part_begin(units, tasks, task + 1); ++u) {
      const int channel = static_cast<int>(u / args.height), row = static_cast<int>(u % args.height);
      const Vec scale = Vec::of(args.scale[channel]), shift = Vec::of(args.shift[channel]);
      float* const line = out + u * args.width * batch;
      for (int n = 0; n < args.count; n += kLanes) {
        const int images = smaller(kLanes, args.count - n);
        const Mask mask = first_lanes(images);
        GatherRow rows[kLanes];
        for (int i = 0; i < images; ++i) {
          const int from_row = row + (args.offset_y != nullptr ? args.offset_y[n + i] : 0);
          const bool there = from_row >= 0 && from_row < args.height;
          rows[i].from = there
                             ? args.images + args.index[n + i] * image + channel * plane + Index{from_row} * args.width
                             : nullptr;
          rows[i].move = args.offset_x != nullptr ? args.offset_x[n + i] : 0;
          rows[i].flip = args.flip != nullptr && args.flip[n + i] != 0;
        }
        for (int w0 = 0; w0 < args.width; w0 += kGatherPixels) {
          const int count = smaller(kGatherPixels, args.width - w0);
          float* to = line + w0 * batch + n;
          if (moved) {
            interleave(rows, images, args.width, w0, count, bytes, inside);
            for (int w = 0; w < count; ++w, to += batch) {
              const Vec value = fma(load_bytes(bytes + w * kLanes), scale, shift);
              store(to, select(less(zero, load_bytes(inside + w * kLanes)), value, zero), mask);
            }
          } else {
            interleave_plain(rows, images, w0, count, bytes);
            for (int w = 0; w < count; ++w, to += batch) {
              store(to, fma(load_bytes(bytes + w * kLanes), scale, shift), mask);
            }
          }
        }
      }
      if (args.count < args.batch) {
        for (int w = 0; w < args.width; ++w) {
          fill_floats(line + w * batch + args.count, 0.0F, batch - args.count);
        }
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
