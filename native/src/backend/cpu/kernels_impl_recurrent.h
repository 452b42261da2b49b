// Recurrent layers: the plain tanh cell and the LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers et
// al. 2000), through time and back.
//
// A step's gates are one product, [weight_ih | weight_hh] times the input stacked on the last hidden state, which stays in
// a small buffer. Images do not depend on each other, so each task takes some of the columns through all steps without
// waiting for anybody. Backward the same product runs transposed; the weights' gradient is one product over all steps at
// the end.
//
// Guarantees: gate = fma over the input's features, then over the hidden units, ascending, then + (bias_ih + bias_hh),
// whatever the blocks, tasks and vectors.
#pragma once

#include "kernels_impl_recurrent_weights.h"
#include "ops/math.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// h = tanh(gate). Rows of a step in `saved`: the gate (backward: its gradient), h.
struct TanhCell {
  static constexpr int gates = 1, rows = 2;

  CONVSWEEP_INLINE static Vec forward(float* at, Index unit_stride, const float*) {
    const Vec h = math::tanh_of(load(at));
    store(at + unit_stride, h);
    return h;
  }

  CONVSWEEP_INLINE static Vec backward(float* at, Index unit_stride, const float*, Vec dh, Vec) {
    const Vec h = load(at + unit_stride);
    store(at, dh * fma(Vec::zero() - h, h, Vec::of(1.0F)));
    return Vec::zero();
  }
};

// Rows of a step: gates i, f, g, o (backward: their gradients), c, tanh(c), h.
struct LstmCell {
  static constexpr int gates = 4, rows = 7;

  // `before`: the same place of the step before, null at the first step.
  CONVSWEEP_INLINE static Vec forward(float* at, Index unit_stride, const float* before) {
    const Vec i = math::sigmoid_of(load(at)), f = math::sigmoid_of(load(at + unit_stride));
    const Vec g = math::tanh_of(load(at + 2 * unit_stride)), o = math::sigmoid_of(load(at + 3 * unit_stride));
    const Vec old = before != nullptr ? load(before + 4 * unit_stride) : Vec::zero();
    const Vec c = fma(f, old, i * g);
    const Vec squashed = math::tanh_of(c);
    const Vec h = o * squashed;
    store(at, i);
    store(at + unit_stride, f);
    store(at + 2 * unit_stride, g);
    store(at + 3 * unit_stride, o);
    store(at + 4 * unit_stride, c);
    store(at + 5 * unit_stride, squashed);
    store(at + 6 * unit_stride, h);
    return h;
  }

  // dc_next: what the step after says of c. Yields the same for the step before.
  CONVSWEEP_INLINE static Vec backward(float* at, Index unit_stride, const float* before, Vec dh, Vec dc_next) {
    const Vec one = Vec::of(1.0F), zero = Vec::zero();
    const Vec i = load(at), f = load(at + unit_stride), g = load(at + 2 * unit_stride), o = load(at + 3 * unit_stride);
    const Vec old = before != nullptr ? load(before + 4 * unit_stride) : zero;
    const Vec squashed = load(at + 5 * unit_stride);
    const Vec dc = fma(dh * o, fma(zero - squashed, squashed, one), dc_next);
    store(at, (dc * g) * (i * (one - i)));
    store(at + unit_stride, (dc * old) * (f * (one - f)));
    store(at + 2 * unit_stride, (dc * i) * fma(zero - g, g, one));
    store(at + 3 * unit_stride, (dh * squashed) * (o * (one - o)));
    return dc * f;
  }
};

template <class Cell>
struct RecurrentPlan {
  RecurrentShape s;
  int gate_rows, depth;
  // Blocks of columns, each a task.
  ColumnBlocks blocks;
  int block_vectors;
  ProductPlan forward, backward;

  RecurrentPlan(const RecurrentShape& shape, int width)
      : s(shape), gate_rows(Cell::gates * shape.units), depth(shape.in_features + shape.units) {
    const int vectors = ceil_div(s.batch, kLanes);
    // The stacked input of a block should stay in the first-level cache.
    const int most = larger(1, smaller(kMaxVectors, static_cast<int>(kPanelBytes / (Index{depth} * kLanes * 4))));
    blocks = {s.batch, larger(ceil_div(vectors, most), smaller(width, vectors))};
    block_vectors = ceil_div(vectors, blocks.count);
    const Runs runs{Index{block_vectors} * kLanes, 1};
    forward = plan_product(Layout::packed, gate_rows, depth, &runs, 1);
    backward = plan_product(Layout::packed, depth, gate_rows, &runs, 1);
  }

  int step_rows() const { return Cell::rows * s.units; }
  std::size_t packed_bytes() const {
    return aligned_bytes(static_cast<std::size_t>(gate_rows) * static_cast<std::size_t>(depth) * sizeof(float));
  }
  // Sum of the two biases.
  std::size_t bias_bytes() const { return aligned_bytes(static_cast<std::size_t>(gate_rows) * sizeof(float)); }
  // Of a slot: forward the stacked input and one step where none is saved; backward the product and dc.
  std::size_t slot_bytes() const {
    const auto stack = static_cast<std::size_t>(depth) * static_cast<std::size_t>(block_vectors) * kLanes;
    return aligned_bytes((stack + static_cast<std::size_t>(Cell::rows) * static_cast<std::size_t>(s.units) *
                                      static_cast<std::size_t>(block_vectors) * kLanes) *
                         sizeof(float));
  }
};

template <class Cell>
std::size_t recurrent_cell_scratch_bytes(const RecurrentShape& s, int width) {
  const RecurrentPlan<Cell> plan(s, width);
  const auto slots = static_cast<std::size_t>(width);
  return larger(plan.packed_bytes() + plan.bias_bytes() + slots * plan.slot_bytes(),
                slots * RecurrentWeightsPlan(s, plan.gate_rows, width).slot_bytes());
}

// C = A B for the first `depth` of k and the tiles from `tile0`, B and C whole vectors.
inline void block_product(const Product& p, const ProductPlan& plan, int depth, int vectors, const float* b,
                          Index b_stride, int tile0) {
  for (int v = 0; v < vectors; v += plan.vectors) {
    TileArgs args;
    args.c_stride = p.c_stride;
    args.b_stride = b_stride;
    for (int k0 = 0; k0 < depth; k0 += plan.depth) {
      const int k1 = smaller(k0 + plan.depth, depth);
      args.depth = k1 - k0;
      args.b = b + k0 * b_stride + v * kLanes;
      args.first = k0 == 0;
      product_tiles(p, plan, args, TileKind::columns, smaller(plan.vectors, vectors - v), k0, Index{v} * kLanes,
                    p.bias != nullptr && k1 == depth, tile0, plan.tiles);
    }
  }
}

template <class Cell>
void recurrent_cell_forward(Parallel& parallel, const RecurrentShape& s, const float* x, const float* weights,
                            const float* bias, float* y, float* saved, void* scratch) {
  const RecurrentPlan<Cell> plan(s, parallel.width());
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  float* const biases = reinterpret_cast<float*>(memory + plan.packed_bytes());
  char* const slots = memory + plan.packed_bytes() + plan.bias_bytes();
  const int in = s.in_features, units = s.units, gate_rows = plan.gate_rows;
  const float* const recurrent = weights + Index{gate_rows} * in;
  pack_tiles(parallel, gate_rows, plan.depth, plan.forward, packed, [=](int row, int rows, float* out) {
    pack_transposed(weights + Index{row} * in, in, rows, gate_rows - row, in, out);
    pack_transposed(recurrent + Index{row} * units, units, rows, gate_rows - row, units, out + Index{in} * rows);
  });
  for (int row = 0; row < gate_rows; ++row) biases[row] = bias[row] + bias[gate_rows + row];
  const Index run = Index{s.steps} * s.batch;

  auto body = [&](int task, int slot) {
    const auto [from, wide, images] = plan.blocks.block(task);
    float* const stack = reinterpret_cast<float*>(slots + static_cast<std::size_t>(slot) * plan.slot_bytes());
    const SavedSteps kept{saved != nullptr ? saved : stack + Index{plan.depth} * plan.block_vectors * kLanes, s.steps,
                          plan.step_rows()};
    const Index unit_stride = Index{units} * wide;
    Product p;
    p.m = gate_rows;
    p.k = plan.depth;
    p.a = packed;
    p.c_stride = wide;
    p.bias = biases;
    for (int t = 0; t < s.steps; ++t) {
      for (int f = 0; f < in; ++f) {
        float* const to = stack + Index{f} * wide;
        copy_floats(to, x + f * run + Index{t} * s.batch + from, images);
        for (int i = images; i < wide; ++i) to[i] = 0.0F;
      }
      // Where nothing is saved, all steps share a place.
      float* const step = saved != nullptr ? kept.at(t, from, wide) : kept.base;
      const float* const before = t == 0 ? nullptr : saved != nullptr ? kept.at(t - 1, from, wide) : kept.base;
      p.c = step;
      block_product(p, plan.forward, t == 0 ? in : plan.depth, wide / kLanes, stack, wide, 0);
      const bool out = s.every_step || t + 1 == s.steps;
      for (int u = 0; u < units; ++u) {
        const Index row = Index{u} * wide;
        float* const hidden = stack + Index{in + u} * wide;
        float* const to =
            s.every_step ? y + u * run + Index{t} * s.batch + from : y + Index{u} * s.batch + from;
        for (int i = 0; i < wide; i += kLanes) {
          const Vec h = Cell::forward(step + row + i, unit_stride, before != nullptr ? before + row + i : nullptr);
          store(hidden + i, h);
          if (out) store(to + i, h, first_lanes(smaller(kLanes, images - i)));
        }
      }
    }
  };
  for_each_task(parallel, plan.blocks.count, body);
}

template <class Cell>
void recurrent_cell_backward(Parallel& parallel, const RecurrentShape& s, const float* x, const float* dy,
                             const float* weights, float* dx, float* dweights, float* dbias, float* saved,
                             void* scratch) {
  const RecurrentPlan<Cell> plan(s, parallel.width());
  char* const memory = static_cast<char*>(scratch);
  float* const packed = reinterpret_cast<float*>(memory);
  char* const slots = memory + plan.packed_bytes() + plan.bias_bytes();
  const int in = s.in_features, units = s.units, gate_rows = plan.gate_rows;
  const float* const recurrent = weights + Index{gate_rows} * in;
  // Rows of the product: the hidden units, then the input's features where somebody wants dx.
  const int rows = dx != nullptr ? plan.depth : units;
  const Runs runs{Index{plan.block_vectors} * kLanes, 1};
  const ProductPlan back = plan_product(Layout::packed, rows, gate_rows, &runs, 1);
  pack_tiles(parallel, rows, gate_rows, back, packed, [=](int row, int count, float* out) {
    const int hidden = larger(0, smaller(units - row, count));
    for (int k = 0; k < gate_rows; ++k, out += count) {
      copy_floats(out, recurrent + Index{k} * units + row, hidden);
      copy_floats(out + hidden, weights + Index{k} * in + (row + hidden - units), count - hidden);
    }
  });
  // At the first step nobody needs the hidden state's gradient.
  int input_tile = 0;
  while (input_tile < back.tiles && part_begin(rows, back.tiles, input_tile + 1) <= units) ++input_tile;
  const Index run = Index{s.steps} * s.batch;
  const SavedSteps kept{saved, s.steps, plan.step_rows()};

  auto body = [&](int task, int slot) {
    const auto [from, wide, images] = plan.blocks.block(task);
    float* const result = reinterpret_cast<float*>(slots + static_cast<std::size_t>(slot) * plan.slot_bytes());
    float* const dc = result + Index{plan.depth} * plan.block_vectors * kLanes;
    const Index unit_stride = Index{units} * wide;
    fill_floats(dc, 0.0F, Index{units} * wide);
    Product p;
    p.m = rows;
    p.k = gate_rows;
    p.a = packed;
    p.c = result;
    p.c_stride = wide;
    for (int t = s.steps - 1; t >= 0; --t) {
      float* const step = kept.at(t, from, wide);
      const float* const before = t == 0 ? nullptr : kept.at(t - 1, from, wide);
      const bool last = t + 1 == s.steps, given = s.every_step || last;
      for (int u = 0; u < units; ++u) {
        const Index row = Index{u} * wide;
        const float* const above =
            s.every_step ? dy + u * run + Index{t} * s.batch + from : dy + Index{u} * s.batch + from;
        for (int i = 0; i < wide; i += kLanes) {
          Vec dh = last ? Vec::zero() : load(result + row + i);
          if (given) dh = dh + load(above + i, first_lanes(smaller(kLanes, images - i)));
          const float* const old = before != nullptr ? before + row + i : nullptr;
          store(dc + row + i, Cell::backward(step + row + i, unit_stride, old, dh, load(dc + row + i)));
        }
      }
      block_product(p, back, gate_rows, wide / kLanes, step, wide, t == 0 ? input_tile : 0);
      if (dx == nullptr) continue;
      for (int f = 0; f < in; ++f) {
        copy_floats(dx + f * run + Index{t} * s.batch + from, result + Index{units + f} * wide, images);
      }
    }
  };
  for_each_task(parallel, plan.blocks.count, body);

  float* const dhidden = dweights + Index{gate_rows} * in;
  if (s.steps == 1) fill_floats(dhidden, 0.0F, Index{gate_rows} * units);
  const WeightsSource sources[2] = {{x, s.batch, run, nullptr, 0, 0, in, dweights},
                                    // The hidden state of the step before.
                                    {nullptr, 0, 0, &kept, (Cell::rows - 1) * units, 1, units, dhidden}};
  recurrent_weights(parallel, gate_rows, s, kept, plan.blocks, sources, dbias, memory);
}

inline std::size_t recurrent_scratch_bytes(const RecurrentShape& s, int width) {
  return s.cell == RecurrentShape::Cell::lstm ? recurrent_cell_scratch_bytes<LstmCell>(s, width)
                                              : recurrent_cell_scratch_bytes<TanhCell>(s, width);
}

inline void recurrent_forward(Parallel& parallel, const RecurrentShape& s, const float* x, const float* weights,
                              const float* bias, float* y, float* saved, void* scratch) {
  if (s.cell == RecurrentShape::Cell::lstm) {
    recurrent_cell_forward<LstmCell>(parallel, s, x, weights, bias, y, saved, scratch);
  } else {
    recurrent_cell_forward<TanhCell>(parallel, s, x, weights, bias, y, saved, scratch);
  }
}

inline void recurrent_backward(Parallel& parallel, const RecurrentShape& s, const float* x, const float* dy,
                               const float* weights, float* dx, float* dweights, float* dbias, float* saved,
                               void* scratch) {
  if (s.cell == RecurrentShape::Cell::lstm) {
    recurrent_cell_backward<LstmCell>(parallel, s, x, dy, weights, dx, dweights, dbias, saved, scratch);
  } else {
    recurrent_cell_backward<TanhCell>(parallel, s, x, dy, weights, dx, dweights, dbias, saved, scratch);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
