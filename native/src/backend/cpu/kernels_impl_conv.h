// Convolution forward and backward-data as implicit matrix products over unfolded taps.
//
// A panel never holds grid columns with different taps: each column near a border is cut for itself, the ones inside go
// together; with a stride each column is cut for itself. So padding costs nothing and every panel can be read in place,
// by a table of offsets. It is packed only where many tiles of rows would read it again and again.
#pragma once

#include "kernels_impl_kernel_view.h"
#include "kernels_impl_taps.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// From so many tiles of rows on a panel is packed.
inline constexpr int kPackTiles = 3;

struct TapSource {
  Taps taps;
  int channels;
  // offset[k] of each k from the element under kernel row 0, column 0, channel 0; see shift_of().
  const Index* offset;
  Index width;
  bool many_tiles;
  // Columns of the grid that are cut for themselves, left and right of those that go together.
  int left, right;
  Index panels_a_column, panels_between;

  struct Panel {
    Index column;
    int columns;
    TapRange rows, cols;
    int grid_row, grid_column;
    // First image of the panel, and columns of the grid row before it.
    Index image, within;
  };

  TapSource(const Taps& t, int source_channels, const Index* offsets, int vectors, int tiles)
      : taps(t),
        channels(source_channels),
        offset(offsets),
        width(Index{vectors} * kLanes),
        many_tiles(tiles >= kPackTiles) {
    find_borders(t, left, right);
    panels_a_column = ceil_div<Index>(t.batch, width);
    panels_between = ceil_div(between(), width);
  }

  static void find_borders(const Taps& t, int& left, int& right) {
    left = 0;
    right = 0;
    if (!t.contiguous()) {
      left = t.grid_w;
      return;
    }
    while (left < t.grid_w && !t.columns(left).all(t.kernel_w)) ++left;
    while (right < t.grid_w - left && !t.columns(t.grid_w - 1 - right).all(t.kernel_w)) ++right;
  }
  Index between() const { return Index{taps.grid_w - left - right} * taps.batch; }

  Index panels_a_row() const { return (left + right) * panels_a_column + panels_between; }
  Index panels() const { return taps.grid_h * panels_a_row(); }

  Panel panel(Index i) const {
    Panel p;
    p.grid_row = static_cast<int>(i / panels_a_row());
    Index j = i % panels_a_row();
    const Index left_panels = left * panels_a_column;
    Index length = taps.batch;
    if (j >= left_panels && j < left_panels + panels_between) {
      p.grid_column = left;
      p.image = (j - left_panels) * width;
      length = between();
    } else {
      const bool at_right = j >= left_panels;
      if (at_right) j -= left_panels + panels_between;
      p.grid_column = static_cast<int>(j / panels_a_column) + (at_right ? taps.grid_w - right : 0);
      p.image = j % panels_a_column * width;
    }
    p.columns = static_cast<int>(smaller(width, length - p.image));
    p.within = Index{p.grid_column} * taps.batch + p.image;
    p.column = p.grid_row * taps.run() + p.within;
    p.rows = taps.rows(p.grid_row);
    p.cols = taps.columns(p.grid_column);
    return p;
  }

  int at(int kernel_row, int kernel_column) const { return (kernel_row * taps.kernel_w + kernel_column) * channels; }
  bool none(const Panel& p) const { return p.rows.empty() || p.cols.empty(); }
  int first(const Panel& p) const { return none(p) ? 0 : at(p.rows.low, p.cols.low); }
  int last(const Panel& p) const { return none(p) ? 0 : at(p.rows.last(), p.cols.last()) + channels; }

  // Whole vectors read past a partial last one must stay inside the plane, or they could leave the array.
  bool in_place(const Panel& p) const {
    if (many_tiles) return false;
    if (p.columns % kLanes == 0) return true;
    const int row = larger(taps.row(p.grid_row, p.rows.low), taps.row(p.grid_row, p.rows.last()));
    const int column = larger(taps.column(p.grid_column, p.cols.low), taps.column(p.grid_column, p.cols.last()));
    return row * taps.source_row() + Index{column} * taps.batch + p.image + round_up16<Index>(p.columns) <=
           taps.source_plane();
  }

  template <class F>
  void pieces(const Panel& p, int low, int high, F&& f) const {
    if (p.rows.step == 1 && p.cols.step == 1) {
      Operand operand;
      operand.b = taps.source;
      operand.shift = shift_of(p);
      if (p.cols.all(taps.kernel_w)) {
        clipped(at(p.rows.low, 0), at(p.rows.high, 0), low, high, operand, f);
        return;
      }
      for (int r = p.rows.low; r < p.rows.high; ++r) {
        clipped(at(r, p.cols.low), at(r, p.cols.high), low, high, operand, f);
      }
      return;
    }
    for (int r = p.rows.low; r < p.rows.high; r += p.rows.step) {
      for (int c = p.cols.low; c < p.cols.high; c += p.cols.step) {
        const int begin = larger(at(r, c), low), end = smaller(at(r, c) + channels, high);
        if (begin >= end) continue;
        Operand operand;
        operand.stride = taps.source_plane();
        operand.b = taps.source + (begin - at(r, c)) * taps.source_plane() +
                    taps.row(p.grid_row, r) * taps.source_row() +
                    (Index{taps.column(p.grid_column, c)} * taps.batch + p.image);
        f(begin, end, operand);
      }
    }
  }

  void pack(const Panel& p, const Operand& operand, int k0, int k1, float* to, int to_width) const {
    const int whole = p.columns / kLanes * kLanes, rest = p.columns - whole;
    const Mask mask = first_lanes(rest);
    const float* from = operand.b;
    for (int k = 0; k < k1 - k0; ++k, to += to_width) {
      if (operand.offset != nullptr) from = operand.b + (operand.offset[k] + operand.shift);
      for (int i = 0; i < whole; i += kLanes) store(to + i, load(from + i));
      if (rest > 0) store(to + whole, load(from + whole, mask));
      from += operand.stride;
    }
  }

  static void fill_offsets(const Taps& t, int channels, Index* offset) {
    const Index sign = t.forward ? 1 : -1;
    for (int r = 0; r < t.kernel_h; ++r) {
      for (int c = 0; c < t.kernel_w; ++c) {
        for (int channel = 0; channel < channels; ++channel) {
          *offset++ = channel * t.source_plane() + sign * (r * t.source_row() + Index{c} * t.batch);
        }
      }
    }
  }

 private:
  Index shift_of(const Panel& p) const {
    if (taps.forward) {
      return (p.grid_row * taps.stride_h - taps.pad_top) * taps.source_row() +
             Index{p.grid_column * taps.stride_w - taps.pad_left} * taps.batch + p.image;
    }
    return (p.grid_row + taps.pad_top) * taps.source_row() + Index{taps.pad_left} * taps.batch + p.within;
  }
  template <class F>
  void clipped(int begin, int end, int low, int high, Operand& operand, F& f) const {
    begin = larger(begin, low);
    end = smaller(end, high);
    if (begin >= end) return;
    operand.offset = offset + begin;
    f(begin, end, operand);
  }
};

// Plan and parts of the scratch memory of one group's product.
struct ConvPlan {
  ProductPlan product;
  std::size_t offsets_at = 0, panels_at = 0;

  ConvPlan(const Taps& t, int m, int k) {
    int left = 0, right = 0;
    TapSource::find_borders(t, left, right);
    const Runs runs[2] = {{Index{t.grid_w - left - right} * t.batch, 1}, {t.batch, left + right}};
    product = plan_product(Layout::packed, m, k, runs, 2);
    offsets_at = aligned_bytes(static_cast<std::size_t>(m) * static_cast<std::size_t>(k) * sizeof(float));
    panels_at = offsets_at + aligned_bytes(static_cast<std::size_t>(k) * sizeof(Index));
  }
  std::size_t bytes(int width) const { return panels_at + panel_bytes(product) * static_cast<std::size_t>(width); }
};

// One group: C[m][grid] = A unfold(source).
inline void conv_product(Parallel& parallel, const Taps& taps, const KernelView& view, const float* bias, bool relu,
                         float* c, void* scratch) {
  const int m = view.rows, channels = view.channels, k = channels * view.taps;
  const ConvPlan plan(taps, m, k);
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  Index* const offset = reinterpret_cast<Index*>(memory + plan.offsets_at);
  TapSource::fill_offsets(taps, channels, offset);
  pack_kernels(parallel, view, plan.product, packed);
  Product p;
  p.m = m;
  p.k = k;
  p.a = packed;
  p.layout = Layout::packed;
  p.c = c;
  p.c_stride = taps.grid_h * taps.run();
  p.bias = bias;
  p.relu = relu;
  const TapSource source(taps, channels, offset, plan.product.vectors, plan.product.tiles);
  product(parallel, p, plan.product, source, static_cast<double>(m) * k * static_cast<double>(p.c_stride),
          reinterpret_cast<float*>(memory + plan.panels_at));
}

inline void direct_forward(Parallel& parallel, const ConvShape& s, const float* x, const float* weights,
                           const float* bias, float* y, void* scratch) {
  const int m = s.out_channels / s.groups, channels = s.in_channels / s.groups, kernel = s.kernel_h * s.kernel_w;
  const Index out_plane = Index{s.out_height} * s.out_width * s.batch;
  for (int g = 0; g < s.groups; ++g) {
    Taps taps = forward_taps(s, x);
    taps.source += g * channels * taps.source_plane();
    const KernelView view = KernelView::of_outputs(weights + Index{g} * m * channels * kernel, m, channels, kernel);
    conv_product(parallel, flattened(taps), view, bias == nullptr ? nullptr : bias + g * m, s.relu,
                 y + g * m * out_plane, scratch);
  }
}

inline void direct_backward_data(Parallel& parallel, const ConvShape& s, const float* dy, const float* weights,
                                 float* dx, void* scratch) {
  const int m = s.in_channels / s.groups, channels = s.out_channels / s.groups, kernel = s.kernel_h * s.kernel_w;
  const Index in_plane = Index{s.in_height} * s.in_width * s.batch;
  for (int g = 0; g < s.groups; ++g) {
    Taps taps = backward_taps(s, dy);
    taps.source += g * channels * taps.source_plane();
    const KernelView view = KernelView::of_inputs(weights + Index{g} * m * channels * kernel, m, channels, kernel);
    conv_product(parallel, flattened(taps), view, nullptr, false, dx + g * m * in_plane, scratch);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
