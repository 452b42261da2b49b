// The weight gradient of a convolution: dot products over (row, column, image), sixteen partial sums each.
//
// Guarantees: element (column, image) of an output row goes to partial sum (column * batch + image) mod 16; rows in
// ascending order; the sums of one weight meet in the fixed tree of sum16. Tiles and blocks change no byte.
// Both operands are read along the contiguous axis, so nothing is transposed. Taps inside the image are read where they
// lie; stretches of a row where some tap is on padding, and strided rows, are unfolded into a small buffer first.
#pragma once

#include <utility>

#include "kernels_impl_taps.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

struct DotArgs {
  // Gradient: row i of the tile at dy + i * dy_stride.
  const float* dy;
  Index dy_stride;
  // One source line a tap of the tile.
  const float* const* x;
  // Output rows, how far apart they lie, and how much of each.
  int rows;
  Index dy_step, x_step;
  Index length;
  // [i][j][16], read and written.
  float* acc;
};
using DotFn = void (*)(const DotArgs&);

template <int MR, int KR>
void dot_tile(const DotArgs& args) {
  Vec acc[MR][KR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) acc[i][j] = load(args.acc + (i * KR + j) * kLanes);
  }
  const Index length = args.length, whole = length / kLanes * kLanes;
  for (int row = 0; row < args.rows; ++row) {
    const float* dy[MR];
    const float* x[KR];
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) dy[i] = args.dy + i * args.dy_stride + row * args.dy_step;
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) x[j] = args.x[j] + row * args.x_step;
    for (Index c = 0; c < whole; c += kLanes) {
      Vec d[MR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) d[i] = load(dy[i] + c);
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) {
        const Vec s = load(x[j] + c);
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
      }
    }
    if (whole < length) {
      const Mask last = first_lanes(static_cast<int>(length - whole));
      Vec d[MR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) d[i] = load(dy[i] + whole, last);
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) {
        const Vec s = load(x[j] + whole, last);
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) store(args.acc + (i * KR + j) * kLanes, acc[i][j]);
  }
}

#if defined(__AVX512F__)
inline constexpr int kDotRows = 5, kDotTaps = 6;
#elif defined(__AVX2__)
inline constexpr int kDotRows = 2, kDotTaps = 3;
#else
inline constexpr int kDotRows = 2, kDotTaps = 2;
#endif
// Taps beside the highest tile of rows, so that all accumulators stay in registers.
constexpr int dot_taps(int rows) { return rows == kDotRows ? smaller(kDotTaps, 5) : kDotTaps; }

struct DotTable {
  DotFn fn[kDotRows][kDotTaps];
  template <int MR, int... KR>
  static constexpr void fill_row(DotTable& t, std::integer_sequence<int, KR...>) {
    ((t.fn[MR][KR] = &dot_tile<MR + 1, KR + 1>), ...);
  }
  template <int... MR>
  static constexpr DotTable make(std::integer_sequence<int, MR...>) {
    DotTable t{};
    (fill_row<MR>(t, std::make_integer_sequence<int, kDotTaps>{}), ...);
    return t;
  }
};
inline constexpr DotTable kDots = DotTable::make(std::make_integer_sequence<int, kDotRows>{});

// Columns of a row worked on at a time, so that the source lines of a tile of taps stay in the first-level cache.
inline constexpr Index kDotColumns = 1024;

struct WeightPlan {
  int m = 1, k = 1;
  int row_tiles = 1, tap_tiles = 1;
  int taps = 1;  // of the largest tile

  WeightPlan(int rows, int depth) : m(rows), k(depth) {
    row_tiles = ceil_div(m, kDotRows);
    const int highest = ceil_div(m, row_tiles);
    tap_tiles = ceil_div(k, dot_taps(highest));
    taps = ceil_div(k, tap_tiles);
  }
  std::size_t acc_bytes() const {
    return static_cast<std::size_t>(m) * static_cast<std::size_t>(taps) * kLanes * sizeof(float);
  }
  std::size_t buffer_bytes() const { return static_cast<std::size_t>(taps) * kDotColumns * sizeof(float); }
  std::size_t slot_bytes() const { return aligned_bytes(acc_bytes()) + aligned_bytes(buffer_bytes()); }
};

// Some taps of one group against some rows of dy.
struct WeightTask {
  const Taps& taps;
  const WeightPlan& plan;
  const float* dy;
  float* dweights;
  float* acc;
  float* buffer;
  int row_tile0, row_tile1;
  int k0, k1;

  int count() const { return k1 - k0; }
  int kernel_column(int i) const { return (k0 + i) % taps.kernel_w; }
  int kernel_row(int i) const { return (k0 + i) / taps.kernel_w % taps.kernel_h; }
  int channel(int i) const { return (k0 + i) / (taps.kernel_w * taps.kernel_h); }

  void dot(const float* const* lines, int grid_row, int rows, Index from, Index length, Index x_step) const {
    const Index plane = taps.grid_h * taps.run();
    DotArgs args;
    args.dy_stride = plane;
    args.x = lines;
    args.rows = rows;
    args.dy_step = taps.run();
    args.x_step = x_step;
    args.length = length;
    for (int t = row_tile0; t < row_tile1; ++t) {
      const Index row = part_begin(plan.m, plan.row_tiles, t);
      const Index height = part_begin(plan.m, plan.row_tiles, t + 1) - row;
      args.dy = dy + row * plane + grid_row * taps.run() + from;
      args.acc = acc + row * count() * kLanes;
      kDots.fn[height - 1][count() - 1](args);
    }
  }

  void unfolded(int grid_row, Index from, Index to) const {
    const float* lines[kDotTaps];
    for (Index at = from; at < to; at += kDotColumns) {
      const Index length = smaller(kDotColumns, to - at);
      for (int i = 0; i < count(); ++i) {
        float* line = buffer + i * kDotColumns;
        taps.unfold(channel(i), kernel_row(i), kernel_column(i), grid_row, at, length, line);
        lines[i] = line;
      }
      dot(lines, grid_row, 1, at, length, 0);
    }
  }

  bool row_inside(int grid_row) const {
    for (int i = 0; i < count(); ++i) {
      if (taps.row(grid_row, kernel_row(i)) < 0) return false;
    }
    return true;
  }

  void run() const {
    const Index length = taps.run();
    // Columns [low, high) of a row lie inside the image for every tap of this tile; both are multiples of 16, or the end.
    Index low = 0, high = length;
    if (taps.contiguous()) {
      for (int i = 0; i < count(); ++i) {
        Index tap_low, tap_high;
        taps.inside(kernel_column(i), tap_low, tap_high);
        low = larger(low, tap_low);
        high = smaller(high, tap_high);
      }
      low = round_up16(low);
      if (high < length) high = high / kLanes * kLanes;
    }
    if (!taps.contiguous() || low >= high) low = high = length;
    const int together = static_cast<int>(larger<Index>(kDotColumns / length, 1));
    int row = 0;
    while (row < taps.grid_h) {
      if (low == high || !row_inside(row)) {
        unfolded(row, 0, length);
        ++row;
        continue;
      }
      int rows = 1;
      while (rows < together && low == 0 && high == length && row + rows < taps.grid_h && row_inside(row + rows)) ++rows;
      unfolded(row, 0, low);
      for (Index at = low; at < high; at += kDotColumns) {
        const float* lines[kDotTaps];
        for (int i = 0; i < count(); ++i) {
          lines[i] = taps.source + channel(i) * taps.source_plane() +
                     taps.row(row, kernel_row(i)) * taps.source_row() +
                     (Index{taps.shift(kernel_column(i))} * taps.batch + at);
        }
        dot(lines, row, rows, at, smaller(kDotColumns, high - at), taps.stride_h * taps.source_row());
      }
      unfolded(row, high, length);
      row += rows;
    }
    for (Index r = part_begin(plan.m, plan.row_tiles, row_tile0); r < part_begin(plan.m, plan.row_tiles, row_tile1);
         ++r) {
      for (int i = 0; i < count(); ++i) {
        dweights[r * plan.k + k0 + i] = sum16(load(acc + (r * count() + i) * kLanes));
      }
    }
  }
};

inline void conv2d_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                    float* dweights, void* scratch) {
  const int m = s.out_channels / s.groups, channels = s.in_channels / s.groups;
  const WeightPlan plan(m, channels * s.kernel_h * s.kernel_w);
  const Index out_plane = Index{s.out_height} * s.out_width * s.batch;
  const int width = parallel.width();
  const int units = s.groups * plan.tap_tiles;
  const double multiply_adds = static_cast<double>(plan.m) * plan.k * static_cast<double>(out_plane) * s.groups;
  const bool serial = width <= 1 || multiply_adds <= kSerialMultiplyAdds;
  int row_parts = 1;
  if (!serial && units < 4 * width) row_parts = smaller(plan.row_tiles, ceil_div(4 * width, units));
  auto body = [&](int task, int slot) {
    const int row_part = task % row_parts, unit = task / row_parts;
    const int group = unit / plan.tap_tiles, tap_tile = unit % plan.tap_tiles;
    Taps taps = forward_taps(s, x);
    taps.source += Index{group} * channels * taps.source_plane();
    char* const memory = static_cast<char*>(scratch) + static_cast<std::size_t>(slot) * plan.slot_bytes();
    float* const acc = reinterpret_cast<float*>(memory);
    float* const buffer = reinterpret_cast<float*>(memory + aligned_bytes(plan.acc_bytes()));
    const WeightTask work{taps,
                          plan,
                          dy + group * m * out_plane,
                          dweights + Index{group} * m * plan.k,
                          acc,
                          buffer,
                          static_cast<int>(part_begin(plan.row_tiles, row_parts, row_part)),
                          static_cast<int>(part_begin(plan.row_tiles, row_parts, row_part + 1)),
                          static_cast<int>(part_begin(plan.k, plan.tap_tiles, tap_tile)),
                          static_cast<int>(part_begin(plan.k, plan.tap_tiles, tap_tile + 1))};
    fill_floats(acc, 0.0F, Index{m} * work.count() * kLanes);
    work.run();
  };
  if (serial) {
    for (int unit = 0; unit < units; ++unit) body(unit, 0);
  } else {
    for_each_task(parallel, units * row_parts, body);
  }
}

inline std::size_t conv2d_weights_scratch_bytes(const ConvShape& s, int width) {
  const WeightPlan plan(s.out_channels / s.groups, s.in_channels / s.groups * s.kernel_h * s.kernel_w);
  return plan.slot_bytes() * static_cast<std::size_t>(width);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
