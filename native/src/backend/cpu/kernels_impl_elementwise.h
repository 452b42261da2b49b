// Kernels that work on one element at a time: activations, dropout, updates of the parameters, small helpers.
//
// Guarantees: an element's result depends on nothing but its own inputs (and its index, for dropout); the order of
// operations is the one written here.
#pragma once

#include "kernels_impl_common.h"
#include "ops/math.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// y[i] = f(x[i])
template <class F>
void map1(Parallel& parallel, Index count, const float* x, float* y, F&& f) {
  for_each_part(parallel, count, [&](Index begin, Index end) {
    Index i = begin;
    for (; i + kLanes <= end; i += kLanes) store(y + i, f(load(x + i)));
    if (i < end) {
      const Mask m = first_lanes(static_cast<int>(end - i));
      store(y + i, f(load(x + i, m)), m);
    }
  });
}

// out[i] = f(a[i], b[i])
template <class F>
void map2(Parallel& parallel, Index count, const float* a, const float* b, float* out, F&& f) {
  for_each_part(parallel, count, [&](Index begin, Index end) {
    Index i = begin;
    for (; i + kLanes <= end; i += kLanes) store(out + i, f(load(a + i), load(b + i)));
    if (i < end) {
      const Mask m = first_lanes(static_cast<int>(end - i));
      store(out + i, f(load(a + i, m), load(b + i, m)), m);
    }
  });
}

inline void relu_forward(Parallel& parallel, std::int64_t count, const float* x, float* y) {
  const Vec zero = Vec::zero();
  map1(parallel, count, x, y, [=](Vec v) { return select(less(v, zero), zero, v); });
}

inline void relu_backward(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx) {
  const Vec zero = Vec::zero();
  map2(parallel, count, y, dy, dx, [=](Vec a, Vec d) { return select(less(zero, a), d, zero); });
}

inline void leaky_relu_forward(Parallel& parallel, std::int64_t count, float slope, const float* x, float* y) {
  const Vec zero = Vec::zero(), factor = Vec::of(slope);
  map1(parallel, count, x, y, [=](Vec v) { return select(less(v, zero), v * factor, v); });
}

inline void leaky_relu_backward(Parallel& parallel, std::int64_t count, float slope, const float* y, const float* dy,
                                float* dx) {
  const Vec zero = Vec::zero(), factor = Vec::of(slope);
  map2(parallel, count, y, dy, dx, [=](Vec a, Vec d) { return select(less(zero, a), d, d * factor); });
}

inline void tanh_forward(Parallel& parallel, std::int64_t count, const float* x, float* y) {
  map1(parallel, count, x, y, [](Vec v) { return math::tanh_of(v); });
}

// dy (1 - y^2)
inline void tanh_backward(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx) {
  const Vec one = Vec::of(1.0F), zero = Vec::zero();
  map2(parallel, count, y, dy, dx, [=](Vec a, Vec d) { return d * fma(zero - a, a, one); });
}

inline void sigmoid_forward(Parallel& parallel, std::int64_t count, const float* x, float* y) {
  map1(parallel, count, x, y, [](Vec v) { return math::sigmoid_of(v); });
}

// dy y (1 - y)
inline void sigmoid_backward(Parallel& parallel, std::int64_t count, const float* y, const float* dy, float* dx) {
  const Vec one = Vec::of(1.0F);
  map2(parallel, count, y, dy, dx, [=](Vec a, Vec d) { return d * (a * (one - a)); });
}

inline void add(Parallel& parallel, std::int64_t count, const float* a, const float* b, float* y) {
  map2(parallel, count, a, b, y, [](Vec v, Vec w) { return v + w; });
}

inline void dropout(Parallel& parallel, std::int64_t count, const DropoutArgs& args, const float* in, float* out) {
  const PhiloxStream stream = args.stream;
  const Int limit = Int::of(static_cast<std::int32_t>(args.drop_below));
  const Vec scale = Vec::of(args.scale), zero = Vec::zero();
  // Sixteen blocks of four draws at a time.
  constexpr Index kGroup = 64;
  const Index groups = ceil_div(Index{count}, kGroup);
  const int tasks = task_count(parallel, groups, 256);
  auto body = [&](int task, int) {
    for (Index g = part_begin(groups, tasks, task); g < part_begin(groups, tasks, task + 1); ++g) {
      Int words[4];
      philox16(static_cast<std::uint32_t>(g * 16), stream.counter1, stream.counter2, stream.counter3, stream.key,
               words);
      for (int q = 0; q < 4; ++q) {
        const Index i = g * kGroup + q * kLanes;
        if (i >= count) break;
        const Mask dropped = below_unsigned(words[q], limit);
        if (i + kLanes <= count) {
          store(out + i, select(dropped, zero, load(in + i) * scale));
        } else {
          const Mask m = first_lanes(static_cast<int>(count - i));
          store(out + i, select(dropped, zero, load(in + i, m) * scale), m);
        }
      }
    }
  };
  for_each_task(parallel, tasks, body);
}

inline void sgd(Parallel& parallel, std::int64_t count, const SgdArgs& args, const float* gradient, float* w) {
  const Vec l2 = Vec::of(args.l2), minus_rate = Vec::of(-args.learning_rate), keep = Vec::of(args.keep);
  map2(parallel, count, gradient, w, w, [=](Vec g, Vec v) { return fma(minus_rate, fma(l2, v, g), keep * v); });
}

inline void momentum(Parallel& parallel, std::int64_t count, const MomentumArgs& args, const float* gradient, float* w,
                     float* velocity) {
  const Vec l2 = Vec::of(args.l2), minus_rate = Vec::of(-args.learning_rate), mu = Vec::of(args.momentum);
  const Vec keep = Vec::of(args.keep);
  const bool nesterov = args.nesterov;
  for_each_part(parallel, count, [&](Index begin, Index end) {
    for_each_vector(begin, end, [&](Index i, Mask m) {
      const Vec weight = load(w + i, m);
      const Vec g = fma(l2, weight, load(gradient + i, m));
      const Vec v = fma(mu, load(velocity + i, m), g);
      store(velocity + i, v, m);
      const Vec step = nesterov ? fma(mu, v, g) : v;
      store(w + i, fma(minus_rate, step, keep * weight), m);
    });
  });
}

inline void rmsprop(Parallel& parallel, std::int64_t count, const RmspropArgs& args, const float* gradient, float* w,
                    float* square) {
  const Vec l2 = Vec::of(args.l2), minus_rate = Vec::of(-args.learning_rate), rho = Vec::of(args.rho);
  const Vec rest = Vec::of(1.0F - args.rho), epsilon = Vec::of(args.epsilon), keep = Vec::of(args.keep);
  for_each_part(parallel, count, [&](Index begin, Index end) {
    for_each_vector(begin, end, [&](Index i, Mask m) {
      const Vec weight = load(w + i, m);
      const Vec g = fma(l2, weight, load(gradient + i, m));
      const Vec s = fma(rho, load(square + i, m), rest * (g * g));
      store(square + i, s, m);
      store(w + i, fma(minus_rate, g / (sqrt(s) + epsilon), keep * weight), m);
    });
  });
}

inline void adam(Parallel& parallel, std::int64_t count, const AdamArgs& args, const float* gradient, float* w,
                 float* m1, float* m2) {
  const Vec l2 = Vec::of(args.l2), minus_step = Vec::of(-args.step_size), epsilon = Vec::of(args.epsilon);
  const Vec beta1 = Vec::of(args.beta1), rest1 = Vec::of(1.0F - args.beta1);
  const Vec beta2 = Vec::of(args.beta2), rest2 = Vec::of(1.0F - args.beta2);
  const Vec correction = Vec::of(args.inv_sqrt_correction2), keep = Vec::of(args.keep);
  for_each_part(parallel, count, [&](Index begin, Index end) {
    for_each_vector(begin, end, [&](Index i, Mask m) {
      const Vec weight = load(w + i, m);
      const Vec g = fma(l2, weight, load(gradient + i, m));
      const Vec first = fma(beta1, load(m1 + i, m), rest1 * g);
      const Vec second = fma(beta2, load(m2 + i, m), rest2 * (g * g));
      store(m1 + i, first, m);
      store(m2 + i, second, m);
      store(w + i, fma(minus_step, first / fma(sqrt(second), correction, epsilon), keep * weight), m);
    });
  });
}

inline bool all_finite(std::int64_t count, const float* x) {
  const Int exponent = Int::of(0x7F800000);
  Mask bad = first_lanes(0);
  for_each_vector(0, count, [&](Index i, Mask m) { bad = bad | equal(bits(load(x + i, m)) & exponent, exponent); });
  return !any(bad);
}

inline void axpy(Parallel& parallel, std::int64_t count, float a, const float* x, float* y) {
  const Vec factor = Vec::of(a);
  map2(parallel, count, x, y, y, [=](Vec v, Vec sum) { return fma(factor, v, sum); });
}

inline void fill(Parallel& parallel, std::int64_t count, float value, float* y) {
  for_each_part(parallel, count, [&](Index begin, Index end) { fill_floats(y + begin, value, end - begin); });
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
