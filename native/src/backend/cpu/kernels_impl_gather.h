// A batch out of the data set: bytes of scattered images to floats, image innermost, normalised and perhaps moved.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline void gather_images(Parallel& parallel, const GatherArgs& args, float* out) {
  const Index batch = args.batch, plane = Index{args.height} * args.width, image = args.channels * plane;
  const Index units = Index{args.channels} * args.height;
  const int tasks = task_count(parallel, units, Index{32768} / larger<Index>(args.width * batch, 1) + 1);
  auto body = [&](int task, int) {
    float value[256];
    int value_of = -1;
    for (Index u = part_begin(units, tasks, task); u < part_begin(units, tasks, task + 1); ++u) {
      const int channel = static_cast<int>(u / args.height), row = static_cast<int>(u % args.height);
      if (channel != value_of) {
        value_of = channel;
        float byte[kLanes];
        for (int i = 0; i < 256; i += kLanes) {
          for (int j = 0; j < kLanes; ++j) byte[j] = static_cast<float>(i + j);
          store(value + i, fma(load(byte), Vec::of(args.scale[channel]), Vec::of(args.shift[channel])));
        }
      }
      float* const line = out + u * args.width * batch;
      for (int n = 0; n < args.count; ++n) {
        const int from_row = row + (args.offset_y != nullptr ? args.offset_y[n] : 0);
        const int move = args.offset_x != nullptr ? args.offset_x[n] : 0;
        const bool flip = args.flip != nullptr && args.flip[n] != 0;
        float* to = line + n;
        if (from_row < 0 || from_row >= args.height) {
          for (int w = 0; w < args.width; ++w, to += batch) *to = 0.0F;
          continue;
        }
        const std::uint8_t* from = args.images + args.index[n] * image + channel * plane + Index{from_row} * args.width;
        if (!flip && move == 0) {
          for (int w = 0; w < args.width; ++w, to += batch) *to = value[from[w]];
          continue;
        }
        for (int w = 0; w < args.width; ++w, to += batch) {
          const int at = (flip ? args.width - 1 - w : w) + move;
          *to = at >= 0 && at < args.width ? value[from[at]] : 0.0F;
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
