// The weight gradient of a convolution with few channels: dot products over (row, column, image), sixteen partial sums each.
// With enough channels: kernels_impl_conv_weights_outer.h.
//
// Guarantees: element (column, image) of an output row goes to partial sum (column * batch + image) mod 16; rows in
// ascending order; a tap on padding takes part with x = 0; the sums of one weight meet in the fixed tree of sum16.
// Tiles, blocks and tasks change no byte. Both operands are read along the contiguous axis, so nothing is transposed.
// Taps inside the image are read where they lie; stretches of a row where some tap of a tile is on padding are unfolded
// into a small buffer first, with a stride all of them.
#pragma once

#include "kernels_impl_dot.h"
#include "kernels_impl_taps.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Columns of a row worked on at a time, so that the lines of a tile stay in the first-level cache.
inline constexpr Index kDotColumns = 832;
// Partial sums of a task, and rows of dy it takes: together with a stretch of dy they stay in the second-level cache
// while all its taps go over that stretch.
inline constexpr Index kDotSumBytes = 256 * 1024;
inline constexpr int kDotBlockRows = 60;

struct WeightPlan {
  int m = 1, k = 1;
  int row_tiles = 1, tap_tiles = 1;
  // Parts of the rows and of the taps that are tasks.
  int row_blocks = 1, tap_blocks = 1;

  WeightPlan(int rows, int depth, int groups, int width, bool serial) : m(rows), k(depth) {
    row_tiles = ceil_div(m, kDotRows);
    const bool full = ceil_div(m, row_tiles) == kDotRows;
    tap_tiles = ceil_div(k, full ? kDotTapsUnderFullRows : kDotTaps);
    row_blocks = ceil_div(row_tiles, larger(kDotBlockRows / kDotRows, 1));
    const Index row_bytes = Index{ceil_div(row_tiles, row_blocks)} * kDotRows * kLanes * Index{sizeof(float)};
    const Index taps = larger<Index>(kDotSumBytes / row_bytes, kDotTaps);
    tap_blocks = smaller(tap_tiles, static_cast<int>(ceil_div<Index>(k, taps)));
    if (serial) return;
    const int wanted = 4 * width;
    if (groups * row_blocks * tap_blocks < wanted) {
      tap_blocks = smaller(tap_tiles, larger(tap_blocks, ceil_div(wanted, groups * row_blocks)));
    }
    if (groups * row_blocks * tap_blocks < wanted) {
      row_blocks = smaller(row_tiles, larger(row_blocks, ceil_div(wanted, groups * tap_blocks)));
    }
  }
  std::size_t sum_bytes() const {
    const std::size_t rows = static_cast<std::size_t>(ceil_div(row_tiles, row_blocks)) * kDotRows;
    const std::size_t taps = static_cast<std::size_t>(ceil_div(tap_tiles, tap_blocks)) * kDotTaps;
    return aligned_bytes(smaller(rows, static_cast<std::size_t>(m)) * smaller(taps, static_cast<std::size_t>(k)) *
                         kLanes * sizeof(float));
  }
  std::size_t slot_bytes() const {
    return sum_bytes() + static_cast<std::size_t>(kDotTaps) * kDotColumns * sizeof(float);
  }
};

// One tap: where in the kernel, and which source channel.
struct Tap {
  int channel, row, column;
};

// The tap with index k = (channel, kernel row, kernel column).
inline Tap tap_at(const Taps& taps, int k) {
  return {k / (taps.kernel_w * taps.kernel_h), k / taps.kernel_w % taps.kernel_h, k % taps.kernel_w};
}

// What a tap sees from columns [from, from + count) of a grid row; 0 on padding.
inline void unfold(const Taps& taps, const Tap& tap, int grid_row, Index from, Index count, float* to) {
  const int row = taps.row(grid_row, tap.row);
  if (row < 0 || row >= taps.source_h) {
    fill_floats(to, 0.0F, count);
    return;
  }
  const float* line = taps.source + tap.channel * taps.source_plane() + row * taps.source_row();
  int column = static_cast<int>(from / taps.batch);
  Index image = from % taps.batch;
  while (count > 0) {
    const Index here = smaller<Index>(taps.batch - image, count);
    const int source_column = taps.column(column, tap.column);
    if (source_column < 0 || source_column >= taps.source_w) {
      fill_floats(to, 0.0F, here);
    } else {
      copy_floats(to, line + Index{source_column} * taps.batch + image, here);
    }
    to += here;
    count -= here;
    image = 0;
    ++column;
  }
}

// dweights[row][k] of rows [row0, row1) and taps [tap0, tap1) from their partial sums, [row][tap][16].
inline void add_up(const float* sums, Index row0, Index row1, Index tap0, Index tap1, Index k, float* dweights) {
  for (Index row = row0; row < row1; ++row) {
    for (Index tap = tap0; tap < tap1; ++tap, sums += kLanes) dweights[row * k + tap] = sum16(load(sums));
  }
}

// Some taps of one group against some rows of dy.
struct WeightTask {
  const Taps& taps;
  const WeightPlan& plan;
  const float* dy;
  float* dweights;
  float* sums;
  float* buffer;
  int row_tile0, row_tile1;
  int tap_tile0, tap_tile1;

  Index first_row(int tile) const { return part_begin(plan.m, plan.row_tiles, tile); }
  Index first_tap(int tile) const { return part_begin(plan.k, plan.tap_tiles, tile); }
  // Sums of a tile of taps, [row][tap][16].
  float* sums_of(int tap_tile) const {
    return sums + (first_tap(tap_tile) - first_tap(tap_tile0)) * (first_row(row_tile1) - first_row(row_tile0)) * kLanes;
  }

  // One tile of taps, ready for use: its taps, and the columns [low, high) of a row where all of them are inside the
  // image; both are multiples of 16, or the end.
  struct Tile {
    int count;
    Tap tap[kDotTaps];
    Index low, high;
    float* sums;
  };
  Tile tile(int t) const {
    Tile tile;
    const int k0 = static_cast<int>(first_tap(t));
    tile.count = static_cast<int>(first_tap(t + 1)) - k0;
    tile.sums = sums_of(t);
    Tap at = tap_at(taps, k0);
    const Index length = taps.run();
    tile.low = 0;
    tile.high = length;
    for (int i = 0; i < tile.count; ++i) {
      tile.tap[i] = at;
      const Index shift = taps.shift(at.column);
      tile.low = larger(tile.low, -shift * taps.batch);
      tile.high = smaller(tile.high, (taps.source_w - shift) * taps.batch);
      if (++at.column == taps.kernel_w) {
        at.column = 0;
        if (++at.row == taps.kernel_h) {
          at.row = 0;
          ++at.channel;
        }
      }
    }
    tile.low = round_up16(tile.low);
    if (tile.high < length) tile.high = larger<Index>(tile.high, 0) / kLanes * kLanes;
    if (!taps.contiguous() || tile.low >= tile.high) tile.low = tile.high = length;
    return tile;
  }

  bool inside(const Tile& tile, int grid_row) const {
    for (int i = 0; i < tile.count; ++i) {
      const int row = taps.row(grid_row, tile.tap[i].row);
      if (row < 0 || row >= taps.source_h) return false;
    }
    return true;
  }

  void dot(const Tile& tile, const float* const* lines, int grid_row, int rows, Index from, Index length,
           Index x_step) const {
    const Index plane = taps.grid_h * taps.run();
    DotArgs args;
    args.dy_stride = plane;
    args.x = lines;
    args.rows = rows;
    args.dy_step = taps.run();
    args.x_step = x_step;
    args.length = length;
    const Index block_row = first_row(row_tile0);
    for (int t = row_tile0; t < row_tile1; ++t) {
      const Index row = first_row(t), height = first_row(t + 1) - row;
      args.dy = dy + row * plane + grid_row * taps.run() + from;
      args.acc = tile.sums + (row - block_row) * tile.count * kLanes;
      kDots.fn[height - 1][tile.count - 1](args);
    }
  }

  // Columns [from, to) of one row by way of the buffer.
  void unfolded(const Tile& tile, int grid_row, Index from, Index to) const {
    if (from >= to) return;
    const float* lines[kDotTaps];
    for (int i = 0; i < tile.count; ++i) {
      float* line = buffer + i * kDotColumns;
      unfold(taps, tile.tap[i], grid_row, from, to - from, line);
      lines[i] = line;
    }
    dot(tile, lines, grid_row, 1, from, to - from, 0);
  }

  // Columns [from, to) of rows [row0, row1); more rows than one only with whole rows.
  void stretch(const Tile& tile, int row0, int row1, Index from, Index to) const {
    const Index low = smaller(larger(tile.low, from), to), high = larger(smaller(tile.high, to), low);
    for (int row = row0; row < row1;) {
      if (low == high || !inside(tile, row)) {
        unfolded(tile, row, from, to);
        ++row;
        continue;
      }
      int end = row + 1;
      while (low == from && high == to && end < row1 && inside(tile, end)) ++end;
      unfolded(tile, row, from, low);
      const float* lines[kDotTaps];
      for (int i = 0; i < tile.count; ++i) {
        const Tap& tap = tile.tap[i];
        lines[i] = taps.source + tap.channel * taps.source_plane() + taps.row(row, tap.row) * taps.source_row() +
                   (Index{taps.shift(tap.column)} * taps.batch + low);
      }
      dot(tile, lines, row, end - row, low, high - low, taps.stride_h * taps.source_row());
      unfolded(tile, row, high, to);
      row = end;
    }
  }

  void run() const {
    const Index length = taps.run();
    const Index rows_of_block = first_row(row_tile1) - first_row(row_tile0);
    fill_floats(sums, 0.0F, (first_tap(tap_tile1) - first_tap(tap_tile0)) * rows_of_block * kLanes);
    const int together = static_cast<int>(larger<Index>(kDotColumns / length, 1));
    const int stretches = static_cast<int>(ceil_div(length, kDotColumns));
    const Index vectors = ceil_div<Index>(length, kLanes);
    for (int row = 0; row < taps.grid_h; row += together) {
      const int row_end = smaller(row + together, taps.grid_h);
      for (int s = 0; s < stretches; ++s) {
        const Index from = part_begin(vectors, stretches, s) * kLanes;
        const Index to = smaller(part_begin(vectors, stretches, s + 1) * kLanes, length);
        for (int t = tap_tile0; t < tap_tile1; ++t) stretch(tile(t), row, row_end, from, to);
      }
    }
    for (int t = tap_tile0; t < tap_tile1; ++t) {
      add_up(sums_of(t), first_row(row_tile0), first_row(row_tile1), first_tap(t), first_tap(t + 1), plan.k, dweights);
    }
  }
};

inline bool weights_serial(const ConvShape& s, int width) {
  const double multiply_adds = static_cast<double>(s.out_channels) * (s.in_channels / s.groups) * s.kernel_h *
                               s.kernel_w * s.out_height * s.out_width * s.batch;
  return width <= 1 || multiply_adds <= kSerialMultiplyAdds;
}

inline WeightPlan weight_plan(const ConvShape& s, int width) {
  return {s.out_channels / s.groups, s.in_channels / s.groups * s.kernel_h * s.kernel_w, s.groups, width,
          weights_serial(s, width)};
}

inline void direct_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                    float* dweights, void* scratch) {
  const WeightPlan plan = weight_plan(s, parallel.width());
  const int m = plan.m, channels = s.in_channels / s.groups;
  const Index out_plane = Index{s.out_height} * s.out_width * s.batch;
  auto body = [&](int task, int slot) {
    const int row_block = task % plan.row_blocks, rest = task / plan.row_blocks;
    const int tap_block = rest % plan.tap_blocks, group = rest / plan.tap_blocks;
    Taps taps = forward_taps(s, x);
    taps.source += Index{group} * channels * taps.source_plane();
    taps = flattened(taps);
    char* const memory = static_cast<char*>(scratch) + static_cast<std::size_t>(slot) * plan.slot_bytes();
    const WeightTask work{taps,
                          plan,
                          dy + group * m * out_plane,
                          dweights + Index{group} * m * plan.k,
                          reinterpret_cast<float*>(memory),
                          reinterpret_cast<float*>(memory + plan.sum_bytes()),
                          static_cast<int>(part_begin(plan.row_tiles, plan.row_blocks, row_block)),
                          static_cast<int>(part_begin(plan.row_tiles, plan.row_blocks, row_block + 1)),
                          static_cast<int>(part_begin(plan.tap_tiles, plan.tap_blocks, tap_block)),
                          static_cast<int>(part_begin(plan.tap_tiles, plan.tap_blocks, tap_block + 1))};
    work.run();
  };
  const int tasks = s.groups * plan.row_blocks * plan.tap_blocks;
  if (weights_serial(s, parallel.width())) {
    for (int task = 0; task < tasks; ++task) body(task, 0);
  } else {
    for_each_task(parallel, tasks, body);
  }
}

inline std::size_t conv2d_weights_scratch_bytes(const ConvShape& s, int width) {
  return weight_plan(s, width).slot_bytes() * static_cast<std::size_t>(width);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
