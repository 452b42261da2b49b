// Max pooling together with the activation and the dropout in front of it.
//
// Guarantees: the bytes are those of the layers one after another, forward and backward (a NaN apart). What lies between
// is never written to memory: ReLU is done while a window is read; for tanh and dropout a row of windows is activated in
// a buffer of the first-level cache. Backward, the pooled output tells all: only a window's winner has a gradient, and
// with ReLU it is above 0 where it was neither dropped nor cut off. No random number is drawn again. Windows lie side by side.
#pragma once

#include "kernels_impl_elementwise.h"
#include "kernels_impl_pool.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

CONVSWEEP_INLINE Vec activated(Activation activation, Vec v) {
  const Vec zero = Vec::zero();
  if (activation == Activation::relu) return select(less(v, zero), zero, v);
  if (activation == Activation::tanh) return math::tanh_of(v);
  return v;
}

// out[0 .. count) = the activated and perhaps dropped x[first .. first + count).
template <Activation activation>
void activate_run(const PoolPrologue& before, const float* x, Index first, Index count, float* out) {
  if (!before.dropout) {
    for_each_vector(0, count, [&](Index i, Mask m) { store(out + i, activated(activation, load(x + first + i, m)), m); });
    return;
  }
  const PhiloxStream& stream = before.drop.stream;
  const Int limit = Int::of(static_cast<std::int32_t>(before.drop.drop_below));
  const Vec scale = Vec::of(before.drop.scale), zero = Vec::zero();
  // A block of draws is for four elements; the first one may begin before the run.
  const Index skip = first % 4;
  alignas(64) float kept[64 + kLanes];
  for (Index at = -skip; at < count; at += 64) {
    Int words[4];
    philox16(static_cast<std::uint32_t>((first + at) / 4), stream.counter1, stream.counter2, stream.counter3, stream.key,
             words);
    const Index begin = larger<Index>(at, 0), end = smaller(at + 64, count);
    if (skip == 0) {
      for (int q = 0; q < 4; ++q) {
        const Index i = at + q * kLanes;
        if (i >= count) break;
        const Mask m = first_lanes(static_cast<int>(smaller<Index>(kLanes, count - i)));
        const Vec v = activated(activation, load(x + first + i, m));
        store(out + i, select(below_unsigned(words[q], limit), zero, v * scale), m);
      }
      continue;
    }
    const Vec one = Vec::of(1.0F);
    for (int q = 0; q < 4; ++q) store(kept + q * kLanes, select(below_unsigned(words[q], limit), zero, one));
    for_each_vector(begin, end, [&](Index i, Mask m) {
      const Vec v = activated(activation, load(x + first + i, m));
      store(out + i, select(less(zero, load(kept + (i - at), m)), v * scale, zero), m);
    });
  }
}

inline void activate_run(const PoolPrologue& before, const float* x, Index first, Index count, float* out) {
  switch (before.activation) {
    case Activation::relu:
      return activate_run<Activation::relu>(before, x, first, count, out);
    case Activation::tanh:
      return activate_run<Activation::tanh>(before, x, first, count, out);
    default:
      return activate_run<Activation::none>(before, x, first, count, out);
  }
}

// Windows of a row worked on at a time, so that their pixels stay in the first-level cache.
inline int pool_columns(const PoolShape& s) {
  const Index window = Index{s.size_h} * s.size_w * s.batch;
  return static_cast<int>(smaller<Index>(larger<Index>(3072 / window, 1), s.out_width));
}

inline Index pool_buffer_floats(const PoolShape& s) {
  return round_up16(Index{s.size_h} * s.size_w * s.batch * pool_columns(s));
}

inline std::size_t max_pool2d_fused_scratch_bytes(const PoolShape& s, int width) {
  return static_cast<std::size_t>(pool_buffer_floats(s)) * sizeof(float) * static_cast<std::size_t>(width);
}

// The winners of `columns` windows side by side, of what is activated on the way. `corner`: of the first window, rows
// `row_stride` apart. argmax may be null.
template <Activation activation>
void pool_row(const PoolShape& s, const float* corner, Index row_stride, int columns, float* y, std::uint16_t* argmax) {
  const Index batch = s.batch;
  for (int c = 0; c < columns; ++c, corner += s.size_w * batch, y += batch) {
    for_each_vector(0, batch, [&](Index n, Mask m) {
      Int winner = Int::of(0);
      Vec best = activated(activation, load(corner + n, m));
      int at = 0;
      for (int r = 0; r < s.size_h; ++r) {
        for (int q = 0; q < s.size_w; ++q, ++at) {
          if (at == 0) continue;
          const Vec v = activated(activation, load(corner + r * row_stride + q * batch + n, m));
          const Mask better = less(best, v) | is_nan(v);
          best = select(better, v, best);
          winner = select(better, Int::of(at), winner);
        }
      }
      store(y + n, best, m);
      if (argmax != nullptr) store_u16(argmax + n, winner, m);
    });
    if (argmax != nullptr) argmax += batch;
  }
}

inline void max_pool2d_fused_forward(Parallel& parallel, const PoolShape& s, const PoolPrologue& before, const float* x,
                                     float* y, std::uint16_t* argmax, void* scratch) {
  const Index batch = s.batch, in_row = s.in_width * batch;
  const Index units = Index{s.channels} * s.out_height;
  const int tasks = task_count(parallel, units, kSerialElements / 4 / larger<Index>(in_row * s.size_h, 1) + 1);
  const int together = pool_columns(s);
  // tanh in the window's loop would be a long chain between two comparisons: 3 to 8 % slower than in a loop of its own.
  const bool straight = !before.dropout && before.activation != Activation::tanh;
  auto body = [&](int task, int slot) {
    float* const buffer = static_cast<float*>(scratch) + slot * pool_buffer_floats(s);
    for (Index u = part_begin(units, tasks, task); u < part_begin(units, tasks, task + 1); ++u) {
      const Index channel = u / s.out_height, row = u % s.out_height;
      const Index top = (channel * s.in_height + row * s.size_h) * in_row;
      for (int column = 0; column < s.out_width; column += together) {
        const int columns = smaller(together, s.out_width - column);
        const Index width = Index{columns} * s.size_w * batch, out = (u * s.out_width + column) * batch;
        std::uint16_t* const winners = argmax != nullptr ? argmax + out : nullptr;
        const Index first = top + Index{column} * s.size_w * batch;
        if (straight) {
          const auto pool = before.activation == Activation::relu ? pool_row<Activation::relu> : pool_row<Activation::none>;
          pool(s, x + first, in_row, columns, y + out, winners);
          continue;
        }
        for (int r = 0; r < s.size_h; ++r) activate_run(before, x, first + r * in_row, width, buffer + r * width);
        pool_row<Activation::none>(s, buffer, width, columns, y + out, winners);
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void max_pool2d_fused_backward(Parallel& parallel, const PoolShape& s, const PoolPrologue& before,
                                      const float* y, const float* dy, const std::uint16_t* argmax, float* dx) {
  const Vec zero = Vec::zero(), one = Vec::of(1.0F);
  const Vec scale = Vec::of(before.dropout ? before.drop.scale : 1.0F);
  const Activation activation = before.activation;
  max_pool2d_backward_tiled(parallel, s, dy, argmax, dx, [=](Index out, Mask m, Vec g) {
    const Vec value = load(y + out, m);
    if (activation == Activation::relu) return select(less(zero, value), g * scale, zero);
    if (activation == Activation::tanh) return g * fma(zero - value, value, one);
    return g;
  });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
