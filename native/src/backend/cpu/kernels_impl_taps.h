// Which source elements a convolution's taps fall on.
//
// The unfolded matrix has a row for each k = (kernel row, kernel column, channel) and a column for each (row, column,
// image) of the grid that is being computed: the output going forward, the input going backward. It is never stored. A
// tap that falls on padding, or that a stride skips going backward, takes no part; which taps do depends on the grid
// row and column alone, so all images of a grid element share them.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Taps low, low + step, ... below high; none when low >= high.
struct TapRange {
  int low, high, step;

  bool empty() const { return low >= high; }
  bool all(int taps) const { return low == 0 && high == taps && step == 1; }
  int last() const { return low + (high - 1 - low) / step * step; }
};

struct Taps {
  bool forward = true;
  const float* source = nullptr;
  int source_h = 1, source_w = 1;
  int grid_h = 1, grid_w = 1;
  int batch = 1;
  int kernel_h = 1, kernel_w = 1;
  int stride_h = 1, stride_w = 1;
  int pad_top = 0, pad_left = 0;

  // Columns of one grid row.
  Index run() const { return Index{grid_w} * batch; }
  Index source_row() const { return Index{source_w} * batch; }
  Index source_plane() const { return source_h * source_row(); }

  TapRange rows(int grid_row) const { return range(grid_row, kernel_h, stride_h, pad_top, source_h); }
  TapRange columns(int grid_column) const { return range(grid_column, kernel_w, stride_w, pad_left, source_w); }
  // Source row (column) under a tap that is in the range.
  int row(int grid_row, int tap) const { return along(grid_row, tap, stride_h, pad_top); }
  int column(int grid_column, int tap) const { return along(grid_column, tap, stride_w, pad_left); }

  // Neighbouring grid columns see neighbouring source columns: a tap is a shift.
  bool contiguous() const { return stride_w == 1; }
  int shift(int kernel_column) const { return forward ? kernel_column - pad_left : pad_left - kernel_column; }

 private:
  TapRange range(int grid, int taps, int stride, int pad, int extent) const {
    if (forward) {
      const int start = grid * stride - pad;
      return {larger(0, -start), smaller(taps, extent - start), 1};
    }
    const int from = grid + pad;
    int low = larger(0, from - (extent - 1) * stride);
    low += (from - low) % stride;
    return {low, smaller(taps, from + 1), stride};
  }
  int along(int grid, int tap, int stride, int pad) const {
    return forward ? grid * stride + tap - pad : (grid + pad - tap) / stride;
  }
};

inline Taps forward_taps(const ConvShape& s, const float* x) {
  Taps t;
  t.forward = true;
  t.source = x;
  t.source_h = s.in_height;
  t.source_w = s.in_width;
  t.grid_h = s.out_height;
  t.grid_w = s.out_width;
  t.batch = s.batch;
  t.kernel_h = s.kernel_h;
  t.kernel_w = s.kernel_w;
  t.stride_h = s.stride_h;
  t.stride_w = s.stride_w;
  t.pad_top = s.pad_top;
  t.pad_left = s.pad_left;
  return t;
}

inline Taps backward_taps(const ConvShape& s, const float* dy) {
  Taps t = forward_taps(s, dy);
  t.forward = false;
  t.source_h = s.out_height;
  t.source_w = s.out_width;
  t.grid_h = s.in_height;
  t.grid_w = s.in_width;
  return t;
}

// A kernel of one tap sees each element by itself: the whole plane is one row, without borders inside.
inline Taps flattened(Taps t) {
  const bool pointwise = t.kernel_h == 1 && t.kernel_w == 1 && t.stride_h == 1 && t.stride_w == 1 && t.pad_top == 0 &&
                         t.pad_left == 0 && t.grid_h == t.source_h && t.grid_w == t.source_w;
  if (pointwise) {
    t.grid_w *= t.grid_h;
    t.grid_h = 1;
    t.source_w *= t.source_h;
    t.source_h = 1;
  }
  return t;
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
