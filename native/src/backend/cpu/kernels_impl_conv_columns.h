// The gradient of a convolution's inputs where there are few of them: the products of all taps with dy at once, then added
// up where they fall.
//
// Guarantees: a product of one tap is acc = fma(weight, dy, acc) from 0 over channels in ascending order; the products of an
// element are added in the order (kernel row, kernel column) of the taps that fall on it.
//
// One or two rows of a product leave the multiply-adds waiting for dy, which every tap reads anew; with the taps as rows dy
// is read once.
#pragma once

#include "kernels_impl_gemm.h"
#include "kernels_impl_taps.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline bool columns_fit(const ConvShape& s) {
  return s.in_channels / s.groups < 4 && s.out_channels / s.groups >= 16 && s.kernel_h * s.kernel_w >= 4;
}

struct ColumnsPlan {
  int rows, channels;
  Index plane;

  explicit ColumnsPlan(const ConvShape& s)
      : rows(s.in_channels / s.groups * s.kernel_h * s.kernel_w),
        channels(s.out_channels / s.groups),
        plane(Index{s.out_height} * s.out_width * s.batch) {}
  // [rows][plane]
  std::size_t product_bytes() const { return aligned_bytes(static_cast<std::size_t>(rows * plane) * sizeof(float)); }
  std::size_t bytes(int width) const {
    return product_bytes() + gemm_scratch_bytes(true, false, rows, static_cast<int>(plane), channels, width);
  }
};

// dx of one grid row of one channel; products: of the channel's taps.
inline void add_taps(const Taps& taps, const float* products, int grid_row, float* dx) {
  const Index plane = taps.source_plane();
  const TapRange rows = taps.rows(grid_row);
  for (int column = 0; column < taps.grid_w; ++column, dx += taps.batch) {
    const TapRange columns = taps.columns(column);
    for_each_vector(0, taps.batch, [&](Index image, Mask mask) {
      Vec sum = Vec::zero();
      for (int r = rows.low; r < rows.high; r += rows.step) {
        for (int c = columns.low; c < columns.high; c += columns.step) {
          const Index element = Index{taps.row(grid_row, r)} * taps.source_w + taps.column(column, c);
          sum = sum + load(products + (r * taps.kernel_w + c) * plane + element * taps.batch + image, mask);
        }
      }
      store(dx + image, sum, mask);
    });
  }
}

inline void columns_backward_data(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights,
                                  float* dx, void* scratch) {
  const ColumnsPlan plan(s);
  const int m = s.in_channels / s.groups, kernel = s.kernel_h * s.kernel_w;
  float* const products = static_cast<float*>(scratch);
  void* const rest = static_cast<char*>(scratch) + plan.product_bytes();
  for (int g = 0; g < s.groups; ++g) {
    const Taps taps = backward_taps(s, dy + g * plan.channels * plan.plane);
    gemm(parallel, true, false, plan.rows, static_cast<int>(plan.plane), plan.channels,
         weights + Index{g} * plan.channels * plan.rows, plan.rows, taps.source, plan.plane, nullptr, products, plan.plane,
         rest);
    const Index rows = Index{m} * s.in_height;
    const int tasks = task_count(parallel, rows, kSerialElements / (taps.run() * kernel) + 1);
    auto body = [&](int task, int) {
      for (Index row = part_begin(rows, tasks, task); row < part_begin(rows, tasks, task + 1); ++row) {
        add_taps(taps, products + row / s.in_height * kernel * plan.plane, static_cast<int>(row % s.in_height),
                 dx + (g * rows + row) * taps.run());
      }
    };
    for_each_task(parallel, tasks, body);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
