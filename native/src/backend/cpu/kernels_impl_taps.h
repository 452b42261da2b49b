// Which source element a convolution's tap falls on, and rows of the unfolded source made from it.
//
// The unfolded matrix has a row for each k = (channel, kernel row, kernel column) and a column for each (row, column,
// image) of the grid that is being computed: the output going forward, the input going backward. Taps on padding, and
// taps that a stride skips going backward, are zeros. It is never stored whole: panels of it are packed, or read in place.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

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

  // Source row (column) under a tap, or -1.
  int row(int grid_row, int kernel_row) const {
    return along(grid_row, kernel_row, stride_h, pad_top, source_h);
  }
  int column(int grid_column, int kernel_column) const {
    return along(grid_column, kernel_column, stride_w, pad_left, source_w);
  }
  // Neighbouring grid columns see neighbouring source columns: a tap is a shift.
  bool contiguous() const { return stride_w == 1; }
  int shift(int kernel_column) const { return forward ? kernel_column - pad_left : pad_left - kernel_column; }
  // The columns of a grid row that see the source through this tap are [low, high).
  void inside(int kernel_column, Index& low, Index& high) const {
    const Index s = shift(kernel_column);
    low = larger<Index>(0, -s) * batch;
    high = larger(low, smaller<Index>(grid_w, source_w - s) * batch);
  }

  // Columns [from, from + count) of a grid row for one tap.
  void unfold(int channel, int kernel_row, int kernel_column, int grid_row, Index from, Index count, float* to) const {
    const int r = row(grid_row, kernel_row);
    if (r < 0) {
      fill_floats(to, 0.0F, count);
      return;
    }
    const float* line = source + channel * source_plane() + r * source_row();
    if (contiguous()) {
      Index low, high;
      inside(kernel_column, low, high);
      low = smaller(larger(low, from), from + count);
      high = larger(smaller(high, from + count), low);
      if (low > from) fill_floats(to, 0.0F, low - from);
      copy_floats(to + (low - from), line + (Index{shift(kernel_column)} * batch + low), high - low);
      if (high < from + count) fill_floats(to + (high - from), 0.0F, from + count - high);
      return;
    }
    int pixel = static_cast<int>(from / batch);
    Index image = from % batch;
    while (count > 0) {
      const Index here = smaller<Index>(batch - image, count);
      const int col = column(pixel, kernel_column);
      if (col < 0) {
        fill_floats(to, 0.0F, here);
      } else {
        copy_floats(to, line + Index{col} * batch + image, here);
      }
      to += here;
      count -= here;
      image = 0;
      ++pixel;
    }
  }

 private:
  int along(int grid, int tap, int stride, int pad, int extent) const {
    int at = 0;
    if (forward) {
      at = grid * stride + tap - pad;
    } else {
      at = grid + pad - tap;
      if (at < 0 || at % stride != 0) return -1;
      at /= stride;
    }
    return at >= 0 && at < extent ? at : -1;
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

}  // namespace convsweep::cpu::CONVSWEEP_ISA
