// Index arithmetic of the layout, written once for every backend.
//
// Activations are [channel][row][column][image]; see convsweep/ops.h.
#pragma once

#include <cstdint>

#include "convsweep/ops.h"

namespace convsweep {

// Offset of image 0 at (channel, row, column).
CONVSWEEP_HD inline std::int64_t pixel_offset(const Extent& e, int channel, int row, int column, int n) {
  return ((std::int64_t{channel} * e.rows + row) * e.columns + column) * n;
}

// Row (or column) of the input that an output row sees through a kernel row; may lie outside [0, extent).
CONVSWEEP_HD inline int input_row(const LayerShape& s, int out_row, int kernel_row) {
  return out_row * s.stride_rows - s.pad_top + kernel_row;
}
CONVSWEEP_HD inline int input_column(const LayerShape& s, int out_column, int kernel_column) {
  return out_column * s.stride_columns - s.pad_left + kernel_column;
}

// Positions [begin, end) of an axis.
struct Span {
  int begin, end;
};

// The part of `from` positions that falls on position `at` of `to`, as PyTorch divides an adaptive pool's input among its
// windows: begin = floor(at * from / to), end = ceil((at + 1) * from / to). Parts overlap where `from` is no multiple of
// `to`. With `from` and `to` exchanged: the windows that hold an input position.
CONVSWEEP_HD inline Span adaptive_span(int at, int from, int to) {
  return {static_cast<int>(std::int64_t{at} * from / to),
          static_cast<int>(((std::int64_t{at} + 1) * from + to - 1) / to)};
}
CONVSWEEP_HD inline bool is_adaptive(Op op) { return op == Op::adaptive_max_pool2d || op == Op::adaptive_avg_pool2d; }
// Whether an adaptive pool's windows are as large everywhere, side by side; kernel and stride then say how large.
CONVSWEEP_HD inline bool divides_evenly(const LayerShape& s) {
  return s.in.rows % s.out.rows == 0 && s.in.columns % s.out.columns == 0;
}
// Rows (or columns) of the input that an output row of a pool sees; may reach outside [0, extent).
CONVSWEEP_HD inline Span window_rows(const LayerShape& s, int out_row) {
  if (is_adaptive(s.op)) return adaptive_span(out_row, s.in.rows, s.out.rows);
  return {input_row(s, out_row, 0), input_row(s, out_row, s.kernel_rows)};
}
CONVSWEEP_HD inline Span window_columns(const LayerShape& s, int out_column) {
  if (is_adaptive(s.op)) return adaptive_span(out_column, s.in.columns, s.out.columns);
  return {input_column(s, out_column, 0), input_column(s, out_column, s.kernel_columns)};
}

CONVSWEEP_HD inline bool inside(const Extent& e, int row, int column) {
  return row >= 0 && row < e.rows && column >= 0 && column < e.columns;
}

// The other way: the output row whose kernel row `kernel_row` falls on input row `in_row`, or -1 where there is none.
CONVSWEEP_HD inline int output_row(const LayerShape& s, int in_row, int kernel_row) {
  const int shifted = in_row + s.pad_top - kernel_row;
  if (shifted < 0 || shifted % s.stride_rows != 0) return -1;
  const int row = shifted / s.stride_rows;
  return row < s.out.rows ? row : -1;
}
CONVSWEEP_HD inline int output_column(const LayerShape& s, int in_column, int kernel_column) {
  const int shifted = in_column + s.pad_left - kernel_column;
  if (shifted < 0 || shifted % s.stride_columns != 0) return -1;
  const int column = shifted / s.stride_columns;
  return column < s.out.columns ? column : -1;
}

// The convolution whose backward pass to its data is the forward pass of this conv_transpose2d: it leads from `out` to
// `in`, with the same weights.
CONVSWEEP_HD inline LayerShape transposed(LayerShape s) {
  const Extent in = s.in;
  s.in = s.out;
  s.out = in;
  return s;
}

// The row of an embedding that an id takes; an id is a whole number as a float. One out of range takes the nearest row.
CONVSWEEP_HD inline int embedding_row(float id, int vocabulary) {
  if (!(id > 0)) return 0;
  const float last = static_cast<float>(vocabulary - 1);
  return static_cast<int>((id < last ? id : last) + 0.5F);
}

// Gates of a recurrent layer.
CONVSWEEP_HD inline int recurrent_gates(Op op) { return op == Op::lstm ? 4 : 1; }

// What a recurrent layer saves of each step for its backward, [steps][rows][units][images rounded up to 16]: the gates
// and the hidden state; the lstm between them c and tanh(c).
CONVSWEEP_HD inline int recurrent_saved_rows(Op op) { return op == Op::lstm ? 7 : 2; }

// Offset of a convolution's weight: [out][in / groups][kernel row][kernel column].
CONVSWEEP_HD inline std::int64_t weight_offset(const LayerShape& s, int out_channel, int in_channel_of_group,
                                               int kernel_row, int kernel_column) {
  const int per_group = s.in.channels / s.groups;
  return ((std::int64_t{out_channel} * per_group + in_channel_of_group) * s.kernel_rows + kernel_row) *
             s.kernel_columns +
         kernel_column;
}

}  // namespace convsweep
