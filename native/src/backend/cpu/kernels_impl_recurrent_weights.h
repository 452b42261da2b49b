// The weights' and biases' gradients of recurrent layers, from the gates' gradients of all steps.
//
// Guarantees: a weight's gradient adds (step, image) in ascending order; a bias gradient keeps sixteen partial sums by image
// modulo 16 over the steps. Neither depends on tasks or vectors, nor on how many steps are taken at a time.
#pragma once

#include "kernels_impl_gemm.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// The columns of a batch in blocks of whole vectors.
struct ColumnBlocks {
  int batch, count;

  struct Block {
    // First column, columns, and how many of them are images.
    Index from;
    int wide, images;
  };
  Block block(int i) const {
    const Index vectors = ceil_div(batch, kLanes);
    const Index from = part_begin(vectors, count, i) * kLanes;
    const int wide = static_cast<int>(part_begin(vectors, count, i + 1) * kLanes - from);
    return {from, wide, static_cast<int>(smaller<Index>(wide, batch - from))};
  }
};

// What training keeps of all steps, a block after the other, so that a task goes through memory in one line; of a block
// [step][row][column].
struct SavedSteps {
  float* base;
  int steps, rows;

  float* at(int t, Index from, int wide) const { return base + Index{rows} * (from * steps + Index{t} * wide); }
};

// The gradient of the weights: C = A B over all steps, some steps at a time. Each task has some rows of C; for every few
// steps it transposes the gates' gradients of those rows, then a panel of inputs or hidden states after the other.
struct RecurrentWeightsPlan {
  ProductPlan product;
  // Tiles whose rows fill a vector together; their part of A lies [step, image][kLanes].
  int group_tiles, groups, tasks;
  // Steps at a time, and how many (step, image) they are.
  int together, depth;

  RecurrentWeightsPlan(const RecurrentShape& s, int gate_rows, int width) {
    const Runs runs[2] = {{s.in_features, 1}, {s.units, 1}};
    product = plan_product(Layout::columns, gate_rows, s.steps * s.batch, runs, 2);
    group_tiles = kLanes / ceil_div(gate_rows, product.tiles);
    groups = ceil_div(product.tiles, group_tiles);
    tasks = smaller(width, groups);
    together = smaller(s.steps, larger(1, product.depth / s.batch));
    depth = together * s.batch;
  }
  // Whole vectors of images are transposed: up to fifteen (step, image) more than the depth.
  Index group_floats() const { return Index{depth + kLanes} * kLanes; }
  std::size_t a_bytes() const {
    return static_cast<std::size_t>(ceil_div(groups, tasks)) * static_cast<std::size_t>(group_floats()) * sizeof(float);
  }
  std::size_t b_bytes() const {
    return static_cast<std::size_t>(depth) * static_cast<std::size_t>(product.vectors) * kLanes * sizeof(float);
  }
  // A vector a row.
  Index sum_floats() const { return Index{ceil_div(groups, tasks)} * kLanes * kLanes; }
  std::size_t slot_bytes() const {
    return a_bytes() + b_bytes() + static_cast<std::size_t>(sum_floats()) * sizeof(float);
  }
};

// to[image][row] = from[row * stride + image] for at most kLanes rows and whole vectors of images, which `from` has.
// `rows_there`: how many rows may be read.
inline void transpose_gates(const float* from, Index stride, int rows, int rows_there, int images, float* to) {
  if (rows_there >= kLanes) {
    for (int i = 0; i < images; i += kLanes) transpose16(from + i, stride, to + i * kLanes, kLanes);
    return;
  }
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < images; ++i) to[i * kLanes + row] = from[row * stride + i];
  }
}

// sums[row] += the row's images, by image modulo 16.
inline void sum_gates(const float* from, Index stride, int rows, int images, float* sums) {
  for (int row = 0; row < rows; ++row) {
    Vec sum = load(sums + row * kLanes);
    for_each_vector(0, images, [&](Index i, Mask m) { sum = sum + load(from + row * stride + i, m); });
    store(sums + row * kLanes, sum);
  }
}

// Where the columns of a gradient come from, from step `first` on: x[column * stride + t * step + image], or where
// `saved` is given what it has of the step before, from `row` on.
struct WeightsSource {
  const float* x;
  Index step, stride;
  const SavedSteps* saved;
  int row, first, columns;
  float* dweights;

  struct Part {
    const float* b;
    Index stride;
  };
  Part part(int t, const ColumnBlocks::Block& block) const {
    if (saved == nullptr) return {x + t * step + block.from, stride};
    return {saved->at(t - 1, block.from, block.wide) + Index{row} * block.wide, block.wide};
  }
};

// Steps [begin, end) of one source, for the rows of groups [group0, group1). `a`: their gradients from step `begin` on;
// `b`: room for a panel.
inline void recurrent_weights_block(const RecurrentWeightsPlan& plan, int gate_rows, const RecurrentShape& s,
                                    const ColumnBlocks& blocks, const WeightsSource& source, int begin, int end,
                                    const float* a, int group0, int group1, float* b) {
  const ProductPlan& product = plan.product;
  const Index width = Index{product.vectors} * kLanes;
  Product p;
  p.m = gate_rows;
  p.k = (end - begin) * s.batch;
  p.a_stride = kLanes;
  p.layout = Layout::columns;
  p.c = source.dweights;
  p.c_stride = source.columns;
  for (Index column = 0; column < source.columns; column += width) {
    const int here = static_cast<int>(smaller(width, source.columns - column)), vectors = ceil_div(here, kLanes);
    for (int t = begin; t < end; ++t) {
      for (int i = 0; i < blocks.count; ++i) {
        const ColumnBlocks::Block block = blocks.block(i);
        const auto [from, stride] = source.part(t, block);
        const MatrixSource matrix{from, stride, true, false, block.images, source.columns, width};
        const MatrixSource::Panel panel{column, here};
        float* const to = b + (Index{t - begin} * s.batch + block.from) * vectors * kLanes;
        matrix.pieces(panel, 0, block.images, [&](int low, int high, const Operand& operand) {
          matrix.pack(panel, operand, low, high, to, vectors * kLanes);
        });
      }
    }
    // A batch may be deeper than a panel that stays in the first-level cache.
    for (int k0 = 0; k0 < p.k; k0 += product.depth) {
      TileArgs args;
      args.c_stride = p.c_stride;
      args.b = b + Index{k0} * vectors * kLanes;
      args.b_stride = Index{vectors} * kLanes;
      args.last_lanes = here - (vectors - 1) * kLanes;
      args.depth = smaller(k0 + product.depth, p.k) - k0;
      args.first = begin == source.first && k0 == 0;
      for (int group = group0; group < group1; ++group) {
        const int tile0 = group * plan.group_tiles, tile1 = smaller(tile0 + plan.group_tiles, product.tiles);
        p.a = a + (group - group0) * plan.group_floats() - part_begin(gate_rows, product.tiles, tile0);
        product_tiles(p, product, args, TileKind::columns, vectors, k0, column, false, tile0, tile1);
      }
    }
  }
}

// dweights[gate row][column] = sum over steps t >= first and images of the gate's gradient times the source's column.
// dbias, twice, their sums over steps and images. The gates' gradients are the first rows of `saved`.
inline void recurrent_weights(Parallel& parallel, int gate_rows, const RecurrentShape& s, const SavedSteps& saved,
                              const ColumnBlocks& blocks, const WeightsSource (&sources)[2], float* dbias, char* slots) {
  const RecurrentWeightsPlan plan(s, gate_rows, parallel.width());
  const ProductPlan& product = plan.product;
  const auto first_tile = [&](int group) { return smaller(group * plan.group_tiles, product.tiles); };
  const auto first_row = [&](int group) {
    return static_cast<int>(part_begin(gate_rows, product.tiles, first_tile(group)));
  };
  auto body = [&](int task, int slot) {
    const int group0 = static_cast<int>(part_begin(plan.groups, plan.tasks, task));
    const int group1 = static_cast<int>(part_begin(plan.groups, plan.tasks, task + 1));
    char* const memory = slots + static_cast<std::size_t>(slot) * plan.slot_bytes();
    float* const a = reinterpret_cast<float*>(memory);
    float* const b = reinterpret_cast<float*>(memory + plan.a_bytes());
    float* const sums = reinterpret_cast<float*>(memory + plan.a_bytes() + plan.b_bytes());
    fill_floats(sums, 0.0F, plan.sum_floats());
    for (int t0 = 0; t0 < s.steps; t0 += plan.together) {
      const int t1 = smaller(t0 + plan.together, s.steps);
      for (int group = group0; group < group1; ++group) {
        const int row = first_row(group);
        const int rows = first_row(group + 1) - row;
        float* to = a + (group - group0) * plan.group_floats();
        for (int t = t0; t < t1; ++t) {
          for (int i = 0; i < blocks.count; ++i) {
            const auto [from, wide, images] = blocks.block(i);
            const float* const gates = saved.at(t, from, wide) + Index{row} * wide;
            transpose_gates(gates, wide, rows, saved.rows - row, images, to);
            sum_gates(gates, wide, rows, images, sums + Index{group - group0} * kLanes * kLanes);
            to += Index{images} * kLanes;
          }
        }
      }
      for (const WeightsSource& source : sources) {
        const int begin = larger(t0, source.first);
        if (begin >= t1) continue;
        recurrent_weights_block(plan, gate_rows, s, blocks, source, begin, t1,
                                a + Index{begin - t0} * s.batch * kLanes, group0, group1, b);
      }
    }
    for (int group = group0; group < group1; ++group) {
      for (int row = first_row(group); row < first_row(group + 1); ++row) {
        const Index at = Index{group - group0} * kLanes + (row - first_row(group));
        dbias[row] = dbias[gate_rows + row] = sum16(load(sums + at * kLanes));
      }
    }
  };
  for_each_task(parallel, plan.tasks, body);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
