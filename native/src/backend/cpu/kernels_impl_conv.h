// Convolution forward and backward-data as implicit matrix products over unfolded taps.
//
// Panels inside the image are read in place with one offset a k when there are few tiles of rows (a packed panel would be
// used too few times to pay for itself); panels at the border, with strides, or under many tiles are packed.
#pragma once

#include "kernels_impl_product.h"
#include "kernels_impl_taps.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Beyond so many rows of C a panel is packed.
inline constexpr int kInPlaceRows = 72;

struct TapSource {
  Taps taps;
  // Null: always pack, and the whole grid is one run.
  const Index* offset = nullptr;
  // Grid rows whose taps all fall on source rows.
  int row_low = 0, row_high = 0;
  // Columns of a run whose taps all fall on source columns.
  Index column_low = 0, column_high = 0;

  bool direct(Index run, Index column, int columns, Direct& d) const {
    if (offset == nullptr || columns % kLanes != 0) return false;
    if (run < row_low || run >= row_high || column < column_low || column + columns > column_high) return false;
    const Index rows = taps.forward ? run * taps.stride_h : run;
    d.base = taps.source + rows * taps.source_row() + column;
    d.offset = offset;
    return true;
  }

  void pack(int k0, int k1, Index run, Index column, int columns, float* to, int width) const {
    const Index length = taps.run();
    const Index start = run * length + column;
    int kernel_column = k0 % taps.kernel_w;
    int kernel_row = k0 / taps.kernel_w % taps.kernel_h;
    int channel = k0 / (taps.kernel_w * taps.kernel_h);
    for (int k = k0; k < k1; ++k, to += width) {
      int done = 0;
      Index grid_row = start / length;
      Index from = start % length;
      while (done < columns) {
        const int here = static_cast<int>(smaller<Index>(length - from, columns - done));
        taps.unfold(channel, kernel_row, kernel_column, static_cast<int>(grid_row), from, here, to + done);
        done += here;
        from = 0;
        ++grid_row;
      }
      for (int i = columns; i < width; ++i) to[i] = 0.0F;
      if (++kernel_column == taps.kernel_w) {
        kernel_column = 0;
        if (++kernel_row == taps.kernel_h) {
          kernel_row = 0;
          ++channel;
        }
      }
    }
  }
};

// Offsets of each k from the element under (grid row * stride, column), for reading in place.
inline void fill_offsets(const Taps& t, int k, Index* offset) {
  for (int i = 0; i < k; ++i) {
    const int kernel_column = i % t.kernel_w, kernel_row = i / t.kernel_w % t.kernel_h;
    const int channel = i / (t.kernel_w * t.kernel_h);
    const int row = t.forward ? kernel_row - t.pad_top : t.pad_top - kernel_row;
    offset[i] = channel * t.source_plane() + row * t.source_row() + Index{t.shift(kernel_column)} * t.batch;
  }
}

inline bool can_read_in_place(const Taps& t, int m) {
  return t.contiguous() && (t.forward || t.stride_h == 1) && m <= kInPlaceRows && t.run() >= 2 * kLanes;
}

inline void find_interior(TapSource& s) {
  const Taps& t = s.taps;
  s.row_low = 0;
  s.row_high = t.grid_h;
  while (s.row_low < s.row_high && (t.row(s.row_low, 0) < 0 || t.row(s.row_low, t.kernel_h - 1) < 0)) ++s.row_low;
  while (s.row_high > s.row_low && (t.row(s.row_high - 1, 0) < 0 || t.row(s.row_high - 1, t.kernel_h - 1) < 0)) {
    --s.row_high;
  }
  s.column_low = 0;
  s.column_high = t.run();
  for (int c = 0; c < t.kernel_w; ++c) {
    Index low, high;
    t.inside(c, low, high);
    s.column_low = larger(s.column_low, low);
    s.column_high = smaller(s.column_high, high);
  }
}

// Where the parts of the scratch memory lie.
struct ConvScratch {
  std::size_t offsets_at = 0, panels_at = 0, total = 0;

  ConvScratch(int m, int k, const ProductPlan& plan, int width) {
    offsets_at = aligned_bytes(static_cast<std::size_t>(m) * static_cast<std::size_t>(k) * sizeof(float));
    panels_at = offsets_at + aligned_bytes(static_cast<std::size_t>(k) * sizeof(Index));
    total = panels_at + panel_bytes(plan) * static_cast<std::size_t>(width);
  }
};

inline ProductPlan plan_taps(const Taps& t, int m, int k) {
  const Index run = can_read_in_place(t, m) ? t.run() : t.grid_h * t.run();
  return plan_product(Layout::packed, m, k, run);
}

// One group: C[m][grid] = A unfold(source).
template <class At>
void conv_product(Parallel& parallel, const Taps& taps, int m, int k, const float* bias, float* c, void* scratch,
                  const At& at) {
  const ProductPlan plan = plan_taps(taps, m, k);
  const ConvScratch where(m, k, plan, parallel.width());
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  TapSource source;
  source.taps = taps;
  Product p;
  p.m = m;
  p.k = k;
  p.runs = 1;
  p.run = taps.grid_h * taps.run();
  p.a = packed;
  p.layout = Layout::packed;
  p.c = c;
  p.c_stride = p.run;
  p.bias = bias;
  if (can_read_in_place(taps, m)) {
    Index* const offset = reinterpret_cast<Index*>(memory + where.offsets_at);
    fill_offsets(taps, k, offset);
    find_interior(source);
    source.offset = offset;
    p.runs = taps.grid_h;
    p.run = taps.run();
  }
  pack_rows(parallel, m, k, plan, packed, at);
  product(parallel, p, plan, source, reinterpret_cast<float*>(memory + where.panels_at));
}

inline void conv2d_forward(Parallel& parallel, const ConvShape& s, const float* x, const float* weights,
                           const float* bias, float* y, void* scratch) {
  const int m = s.out_channels / s.groups, channels = s.in_channels / s.groups;
  const int k = channels * s.kernel_h * s.kernel_w;
  const Index out_plane = Index{s.out_height} * s.out_width * s.batch;
  for (int g = 0; g < s.groups; ++g) {
    Taps taps = forward_taps(s, x);
    taps.source += g * channels * taps.source_plane();
    const float* w = weights + Index{g} * m * k;
    conv_product(parallel, taps, m, k, bias == nullptr ? nullptr : bias + g * m, y + g * m * out_plane, scratch,
                 [w, k](int row, int i) { return w[Index{row} * k + i]; });
  }
}

inline void conv2d_backward_data(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights,
                                 float* dx, void* scratch) {
  const int m = s.in_channels / s.groups, channels = s.out_channels / s.groups;
  const int taps_a_channel = s.kernel_h * s.kernel_w;
  const int k = channels * taps_a_channel;
  const Index in_plane = Index{s.in_height} * s.in_width * s.batch;
  for (int g = 0; g < s.groups; ++g) {
    Taps taps = backward_taps(s, dy);
    taps.source += g * channels * taps.source_plane();
    const float* w = weights + Index{g} * channels * m * taps_a_channel;
    conv_product(parallel, taps, m, k, nullptr, dx + g * m * in_plane, scratch, [w, m, taps_a_channel](int row, int i) {
      return w[(Index{i / taps_a_channel} * m + row) * taps_a_channel + i % taps_a_channel];
    });
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
