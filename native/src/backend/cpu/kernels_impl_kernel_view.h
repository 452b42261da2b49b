// A convolution's weights as the left factor of a product: rows of the product, channels that are added up, taps.
//
// Taps lie together in memory, so a block of rows is transposed tap by tap with vectors instead of element by element.
#pragma once

#include "kernels_impl_product.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Weight of (row, channel, tap) at weights[row * row_step + channel * channel_step + tap].
struct KernelView {
  const float* weights;
  int rows, channels, taps;
  Index row_step, channel_step;

  // [rows][channels][taps], going forward.
  static KernelView of_outputs(const float* weights, int rows, int channels, int taps) {
    return {weights, rows, channels, taps, Index{channels} * taps, taps};
  }
  // [channels][rows][taps], going backward.
  static KernelView of_inputs(const float* weights, int rows, int channels, int taps) {
    return {weights, rows, channels, taps, taps, Index{rows} * taps};
  }
  Index count() const { return Index{rows} * channels * taps; }
  // One tap, channels side by side: channels are what is transposed.
  bool flat() const { return taps == 1 && channel_step == 1; }
};

// to[i][row] = from[row * step + i] for i < count, each kLanes floats long, and rows <= kLanes. `readable`: floats from `from` on.
CONVSWEEP_INLINE void transpose_rows(const float* from, Index step, int rows, int count, Index readable, float* to) {
  int i = 0;
  for (; i < count && (kLanes - 1) * step + i + kLanes <= readable; i += kLanes) {
    transpose16(from + i, step, to + i * kLanes, kLanes);
  }
  for (; i < count; ++i) {
    for (int row = 0; row < rows; ++row) to[i * kLanes + row] = from[row * step + i];
  }
}

// Packed for Layout::packed, k = tap * channels + channel.
inline void pack_kernels(Parallel& parallel, const KernelView& view, const ProductPlan& plan, float* to) {
  constexpr int kMost = 4 * kLanes;
  pack_tiles(parallel, view.rows, view.channels * view.taps, plan, to, [&](int row, int rows, float* out) {
    float turned[kMost * kLanes];
    const int count = view.flat() ? view.channels : view.taps, outer = view.flat() ? 1 : view.channels;
    // How far apart in k the transposed ones are, and the others.
    const Index k_step = view.flat() ? 1 : view.channels;
    for (int channel = 0; channel < outer; ++channel) {
      const Index at = row * view.row_step + channel * view.channel_step;
      for (int low = 0; low < count; low += kMost) {
        const int here = smaller(kMost, count - low);
        transpose_rows(view.weights + at + low, view.row_step, rows, here, view.count() - at - low, turned);
        for (int i = 0; i < here; ++i) {
          copy_floats(out + ((low + i) * k_step + channel) * rows, turned + i * kLanes, rows);
        }
      }
    }
  });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
