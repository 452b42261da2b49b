// A batch out of the data set: bytes of scattered images to floats, image innermost, normalised and, in training,
// flipped, cropped, recoloured and cut, each image by draws of its own.
//
// First the draws, a thread an image, into scratch memory; then the pixels, a thread each. What a pixel becomes is the
// CPU kernels' sequence of operations, so the two agree to the bit; a picture's mean grey is summed pixel by pixel.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "convsweep/rng.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// A lane's scratch memory, one number an image each.
struct Drawn {
  std::int32_t *index, *offset_y, *offset_x, *cut_row, *cut_column, *flip;
  float *brightness, *contrast, *saturation, *mean;

  __device__ Drawn(std::byte* memory, int n) {
    index = reinterpret_cast<std::int32_t*>(memory);
    offset_y = index + n;
    offset_x = offset_y + n;
    cut_row = offset_x + n;
    cut_column = cut_row + n;
    flip = cut_column + n;
    brightness = reinterpret_cast<float*>(flip + n);
    contrast = brightness + n;
    saturation = contrast + n;
    mean = saturation + n;
  }
};
static_assert(gather_scratch_bytes(1) == 10 * sizeof(float));

__device__ inline float clamp(float v) {
  const float low = v < 0.0F ? 0.0F : v;
  return 1.0F < low ? 1.0F : low;
}
// other + factor * (v - other)
__device__ inline float blend(float v, float other, float factor) { return ::fmaf(factor, v - other, other); }

// One pixel of an image, its channels `plane` apart, taken back to [0, 1] and made brighter.
struct Pixel {
  const float *values, *scale, *shift;
  std::int64_t plane;
  int channels;
  float brightness;

  __device__ float brightened(int c) const {
    return clamp((values[c * plane] - shift[c]) / (scale[c] * 255.0F) * brightness);
  }
};

template <class Channel>
__device__ inline float grey(int channels, const Channel& channel) {
  if (channels == 3) return ::fmaf(0.299F, channel(0), ::fmaf(0.587F, channel(1), 0.114F * channel(2)));
  float sum = channel(0);
  for (int c = 1; c < channels; ++c) sum = sum + channel(c);
  return sum * (1.0F / static_cast<float>(channels));
}

__global__ void __launch_bounds__(element_threads) gather_draw_kernel(GatherCall call) {
  const int lane = element_lane(call.lanes);
  const LaneScalars s = call.scalars[lane];
  const AugmentScalars& a = s.augment;
  const Permutation order(s.key, s.epoch, call.size);
  const Drawn drawn(call.scratch[lane], call.n);
  for (int i = static_cast<int>(first_element(call.lanes)); i < call.n;
       i += static_cast<int>(element_stride(call.lanes))) {
    const std::uint32_t position = s.position + static_cast<std::uint32_t>(i);
    const std::uint32_t image = call.first_image + (call.shuffle ? order(position) : position);
    drawn.index[i] = static_cast<std::int32_t>(image);
    for (int p = 0; p < call.positions; ++p) {
      call.out_labels[lane][std::int64_t{p} * call.n + i] = call.labels[std::int64_t{image} * call.positions + p];
    }
    if (!call.augment) continue;
    const AugmentDraw move = augment_draw(s.key, s.epoch, position, a.flip, a.crop_padding);
    drawn.flip[i] = move.flip ? 1 : 0;
    drawn.offset_y[i] = static_cast<std::int32_t>(move.top) - static_cast<std::int32_t>(a.crop_padding);
    drawn.offset_x[i] = static_cast<std::int32_t>(move.left) - static_cast<std::int32_t>(a.crop_padding);
    const ColourDraw colour = colour_draw(s.key, s.epoch, position, a.brightness, a.contrast, a.saturation);
    drawn.brightness[i] = colour.brightness;
    drawn.contrast[i] = colour.contrast;
    drawn.saturation[i] = colour.saturation;
    const CutoutDraw square = cutout_draw(s.key, s.epoch, position, static_cast<std::uint32_t>(call.image.rows),
                                          static_cast<std::uint32_t>(call.image.columns));
    drawn.cut_row[i] = static_cast<std::int32_t>(square.row) - static_cast<std::int32_t>(a.cutout / 2);
    drawn.cut_column[i] = static_cast<std::int32_t>(square.column) - static_cast<std::int32_t>(a.cutout / 2);
  }
}

__global__ void __launch_bounds__(element_threads) gather_pixels_kernel(GatherCall call) {
  const int lane = element_lane(call.lanes);
  const bool moves = call.augment && call.scalars[lane].augment.moves();
  const Drawn drawn(call.scratch[lane], call.n);
  const Extent& e = call.image;
  const std::int64_t count = e.size() * call.n;
  for (std::int64_t at = first_element(call.lanes); at < count; at += element_stride(call.lanes)) {
    const int i = static_cast<int>(at % call.n);
    const std::int64_t pixel = at / call.n, channel = pixel / e.plane();
    int row = static_cast<int>(pixel / e.columns % e.rows), column = static_cast<int>(pixel % e.columns);
    if (moves) {
      row += drawn.offset_y[i];
      const int last = planted == Fault::wrong_index ? e.columns : e.columns - 1;
      column = (drawn.flip[i] != 0 ? last - column : column) + drawn.offset_x[i];
    }
    float value = 0;
    if (row >= 0 && row < e.rows && column >= 0 && column < e.columns) {
      const std::int64_t from = drawn.index[i] * e.size() + (channel * e.rows + row) * e.columns + column;
      value = ::fmaf(static_cast<float>(call.images[from]), call.scale[channel], call.shift[channel]);
    }
    call.x[lane][at] = value;
  }
}

// The mean grey of each brightened image.
__global__ void __launch_bounds__(element_threads) gather_mean_kernel(GatherCall call) {
  const int lane = element_lane(call.lanes);
  if (!call.scalars[lane].augment.colours()) return;
  const Drawn drawn(call.scratch[lane], call.n);
  const std::int64_t pixels = call.image.plane();
  for (int i = static_cast<int>(first_element(call.lanes)); i < call.n;
       i += static_cast<int>(element_stride(call.lanes))) {
    float sum = 0;
    for (std::int64_t p = 0; p < pixels; ++p) {
      const Pixel pixel{call.x[lane] + p * call.n + i, call.scale,         call.shift, pixels * call.n,
                        call.image.channels,           drawn.brightness[i]};
      sum = sum + grey(pixel.channels, [&](int c) { return pixel.brightened(c); });
    }
    drawn.mean[i] = sum * (1.0F / static_cast<float>(pixels));
  }
}

// Colours and squares: a thread changes all channels of a pixel.
__global__ void __launch_bounds__(element_threads) gather_change_kernel(GatherCall call) {
  const int lane = element_lane(call.lanes);
  const AugmentScalars a = call.scalars[lane].augment;
  const bool colours = a.colours();
  if (!colours && a.cutout == 0) return;
  const Drawn drawn(call.scratch[lane], call.n);
  const Extent& e = call.image;
  const std::int64_t plane = e.plane() * call.n;
  for (std::int64_t at = first_element(call.lanes); at < plane; at += element_stride(call.lanes)) {
    const int i = static_cast<int>(at % call.n);
    const int row = static_cast<int>(at / call.n / e.columns), column = static_cast<int>(at / call.n % e.columns);
    float* const values = call.x[lane] + at;
    // Below 0 counts as above every side when read without a sign.
    if (a.cutout > 0 && static_cast<std::uint32_t>(row - drawn.cut_row[i]) < a.cutout &&
        static_cast<std::uint32_t>(column - drawn.cut_column[i]) < a.cutout) {
      for (int c = 0; c < e.channels; ++c) values[c * plane] = 0;
      continue;
    }
    if (!colours) continue;
    const Pixel pixel{values, call.scale, call.shift, plane, e.channels, drawn.brightness[i]};
    const auto contrasted = [&](int c) { return clamp(blend(pixel.brightened(c), drawn.mean[i], drawn.contrast[i])); };
    const float own = grey(e.channels, contrasted);
    // contrasted(c) reads channel c alone, which is not written yet.
    for (int c = 0; c < e.channels; ++c) {
      const float value = clamp(blend(contrasted(c), own, drawn.saturation[i]));
      values[c * plane] = ::fmaf(value, call.scale[c] * 255.0F, call.shift[c]);
    }
  }
}

}  // namespace

void gather(ExecutionContext& context, const GatherCall& call) {
  const cudaStream_t stream = cast(context).stream;
  const dim3 block(element_threads);
  CONVSWEEP_LAUNCH(gather_draw_kernel, element_grid(call.lanes, call.n), block, 0, stream, call);
  CONVSWEEP_LAUNCH(gather_pixels_kernel, element_grid(call.lanes, call.image.size() * call.n), block, 0, stream, call);
  if (!call.augment) return;
  // Which lanes have colours or squares stands in device memory; the others return at once.
  CONVSWEEP_LAUNCH(gather_mean_kernel, element_grid(call.lanes, call.n), block, 0, stream, call);
  CONVSWEEP_LAUNCH(gather_change_kernel, element_grid(call.lanes, call.image.plane() * call.n), block, 0, stream, call);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
