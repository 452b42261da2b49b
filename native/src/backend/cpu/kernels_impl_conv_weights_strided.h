// The weight gradient of a convolution whose stride skips columns: the same dot products, in the same order.
//
// Guarantees: the bytes of kernels_impl_conv_weights.h. dy is first packed so that a block of its columns is
// contiguous; each tap's columns are unfolded once for all rows of dy that a task has, and stay in the first-level
// cache, as many as fit, while those rows go over them. Rows are padded with zeros to whole vectors, on both sides:
// what a partial last vector does.
#pragma once

#include "kernels_impl_conv_weights.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Columns and taps that are unfolded together (24 KiB), and tiles of them.
inline constexpr Index kStridedColumns = 512;
inline constexpr int kStridedTaps = 12;
inline constexpr int kStridedTiles = kStridedTaps / kDotTaps;
// What a task's rows of dy and its partial sums may take of the second-level cache.
inline constexpr Index kStridedRowBytes = 256 * 1024;
inline constexpr Index kStridedSumBytes = 192 * 1024;

// Columns [from, from + count) of `rows` rows of the grid; in memory each row takes round_up16(count).
struct ColumnBlock {
  int row, rows;
  Index from, count;

  Index pitch() const { return round_up16(count); }
  Index length() const { return rows * pitch(); }
};

struct StridedWeightPlan {
  int m, k, grid_h;
  Index run;
  // A block is some whole rows, or one of some stretches of a row; `columns` is the most that one has.
  int together = 1, stretches = 1, blocks = 1;
  Index columns;
  int row_tiles, tap_tiles;
  // Parts of the rows and of the taps that are tasks.
  int row_blocks, tap_blocks;

  StridedWeightPlan(const ConvShape& s, int width)
      : m(s.out_channels / s.groups),
        k(s.in_channels / s.groups * s.kernel_h * s.kernel_w),
        grid_h(s.out_height),
        run(Index{s.out_width} * s.batch) {
    const Index pitch = round_up16(run);
    if (pitch <= kStridedColumns) {
      together = static_cast<int>(smaller<Index>(kStridedColumns / pitch, grid_h));
      columns = together * pitch;
      blocks = ceil_div(grid_h, together);
    } else {
      stretches = static_cast<int>(ceil_div(pitch, kStridedColumns));
      columns = round_up16(ceil_div<Index>(pitch, stretches));
      blocks = grid_h * stretches;
    }
    row_tiles = ceil_div(m, kDotRows);
    tap_tiles = ceil_div(k, ceil_div(m, row_tiles) == kDotRows ? kDotTapsUnderFullRows : kDotTaps);
    const Index row_bytes = columns * Index{sizeof(float)}, sum_bytes = kLanes * Index{sizeof(float)};
    const int rows = static_cast<int>(larger<Index>(kStridedRowBytes / row_bytes / kDotRows, 1));
    row_blocks = ceil_div(row_tiles, rows);
    const Index sums_a_tap = Index{ceil_div(row_tiles, row_blocks)} * kDotRows * sum_bytes;
    const int taps = static_cast<int>(larger<Index>(kStridedSumBytes / sums_a_tap / kDotTaps, 1));
    tap_blocks = ceil_div(tap_tiles, taps);
    if (weights_serial(s, width)) return;
    const int wanted = ceil_div(4 * width, s.groups);
    if (row_blocks * tap_blocks < wanted) {
      tap_blocks = smaller(tap_tiles, larger(tap_blocks, ceil_div(wanted, row_blocks)));
    }
    if (row_blocks * tap_blocks < wanted) {
      row_blocks = smaller(row_tiles, larger(row_blocks, ceil_div(wanted, tap_blocks)));
    }
  }

  ColumnBlock block(int b) const {
    if (stretches == 1) return {b * together, smaller(together, grid_h - b * together), 0, run};
    const Index from = b % stretches * columns;
    return {b / stretches, 1, from, smaller(columns, run - from)};
  }
  // dy of a group, [blocks][m][columns].
  Index packed_floats() const { return Index{blocks} * m * columns; }
  std::size_t sum_bytes() const {
    const std::size_t rows = static_cast<std::size_t>(ceil_div(row_tiles, row_blocks)) * kDotRows;
    const std::size_t taps = static_cast<std::size_t>(ceil_div(tap_tiles, tap_blocks)) * kDotTaps;
    return aligned_bytes(rows * taps * kLanes * sizeof(float));
  }
  std::size_t slot_bytes() const {
    return sum_bytes() + aligned_bytes(static_cast<std::size_t>(kStridedTiles * kDotTaps * columns) * sizeof(float));
  }
  std::size_t bytes(int groups, int width) const {
    return static_cast<std::size_t>(groups * packed_floats()) * sizeof(float) +
           slot_bytes() * static_cast<std::size_t>(width);
  }
};

// Some taps of one group against some rows of its packed dy.
struct StridedWeightTask {
  const Taps& taps;
  const StridedWeightPlan& plan;
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

  void unfold_block(const Tap& tap, const ColumnBlock& block, float* to) const {
    for (int row = block.row; row < block.row + block.rows; ++row, to += block.pitch()) {
      unfold(taps, tap, row, block.from, block.count, to);
      fill_floats(to + block.count, 0.0F, block.pitch() - block.count);
    }
  }

  // Tiles [tile0, tile1) of taps, unfolded together.
  void tiles(int tile0, int tile1, const ColumnBlock& block, const float* rows_of_dy) const {
    const Index tap0 = first_tap(tile0), block_row = first_row(row_tile0);
    for (Index k = tap0; k < first_tap(tile1); ++k) {
      unfold_block(tap_at(taps, static_cast<int>(k)), block, buffer + (k - tap0) * plan.columns);
    }
    DotArgs args;
    args.dy_stride = plan.columns;
    args.rows = 1;
    args.dy_step = args.x_step = 0;
    args.length = block.length();
    for (int r = row_tile0; r < row_tile1; ++r) {
      const Index row = first_row(r), height = first_row(r + 1) - row;
      args.dy = rows_of_dy + row * plan.columns;
      for (int t = tile0; t < tile1; ++t) {
        const Index count = first_tap(t + 1) - first_tap(t);
        const float* lines[kDotTaps];
        for (Index i = 0; i < count; ++i) lines[i] = buffer + (first_tap(t) - tap0 + i) * plan.columns;
        args.x = lines;
        args.acc = sums_of(t) + (row - block_row) * count * kLanes;
        kDots.fn[height - 1][count - 1](args);
      }
    }
  }

  void run() const {
    const Index rows = first_row(row_tile1) - first_row(row_tile0);
    fill_floats(sums, 0.0F, (first_tap(tap_tile1) - first_tap(tap_tile0)) * rows * kLanes);
    for (int b = 0; b < plan.blocks; ++b) {
      const float* const rows_of_dy = dy + Index{b} * plan.m * plan.columns;
      for (int t = tap_tile0; t < tap_tile1; t += kStridedTiles) {
        tiles(t, smaller(t + kStridedTiles, tap_tile1), plan.block(b), rows_of_dy);
      }
    }
    for (int t = tap_tile0; t < tap_tile1; ++t) {
      add_up(sums_of(t), first_row(row_tile0), first_row(row_tile1), first_tap(t), first_tap(t + 1), plan.k, dweights);
    }
  }
};

// [channels][grid] to [groups][blocks][m][columns], the rows padded with zeros.
inline void pack_gradient(Parallel& parallel, const StridedWeightPlan& plan, int channels, const float* dy, float* to) {
  const Index plane = plan.grid_h * plan.run;
  const int tasks = task_count(parallel, channels, kSerialElements / plane + 1);
  auto body = [&](int task, int) {
    for (Index c = part_begin(channels, tasks, task); c < part_begin(channels, tasks, task + 1); ++c) {
      float* const of_channel = to + c / plan.m * plan.packed_floats() + c % plan.m * plan.columns;
      for (int b = 0; b < plan.blocks; ++b) {
        const ColumnBlock block = plan.block(b);
        float* out = of_channel + Index{b} * plan.m * plan.columns;
        for (int i = 0; i < block.rows; ++i, out += block.pitch()) {
          copy_floats(out, dy + c * plane + (block.row + i) * plan.run + block.from, block.count);
          fill_floats(out + block.count, 0.0F, block.pitch() - block.count);
        }
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void strided_backward_weights(Parallel& parallel, const ConvShape& s, const float* x, const float* dy,
                                     float* dweights, void* scratch) {
  const StridedWeightPlan plan(s, parallel.width());
  const Index channels = s.in_channels / s.groups;
  float* const packed = static_cast<float*>(scratch);
  char* const slots = reinterpret_cast<char*>(packed + s.groups * plan.packed_floats());
  pack_gradient(parallel, plan, s.out_channels, dy, packed);
  auto body = [&](int task, int slot) {
    const int row_block = task % plan.row_blocks, rest = task / plan.row_blocks;
    const int tap_block = rest % plan.tap_blocks, group = rest / plan.tap_blocks;
    Taps taps = forward_taps(s, x);
    taps.source += group * channels * taps.source_plane();
    char* const memory = slots + static_cast<std::size_t>(slot) * plan.slot_bytes();
    const StridedWeightTask work{taps,
                                 plan,
                                 packed + group * plan.packed_floats(),
                                 dweights + Index{group} * plan.m * plan.k,
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

}  // namespace convsweep::cpu::CONVSWEEP_ISA
