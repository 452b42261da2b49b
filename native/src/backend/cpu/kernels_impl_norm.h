// Batch normalisation and the sums along a channel that it and the bias gradients need.
//
// Guarantees: a sum over a channel is made of chunks of 1024 elements; within a chunk element i goes to partial sum i
// mod 16 and the sums meet in the fixed tree of sum16; chunks add up in double, in ascending order. Reference: S.
// Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, with PyTorch's running statistics.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline constexpr Index kSumChunk = 1024;

// Sum of terms; add(acc, i, mask) yields acc + term(i), with nothing added where the mask is off.
template <class F>
double sum_run(Index count, F&& add) {
  const Mask all = first_lanes(kLanes);
  double total = 0.0;
  Index at = 0;
  // Four chunks side by side: each has its own chain of additions.
  for (; at + 4 * kSumChunk <= count; at += 4 * kSumChunk) {
    Vec a = Vec::zero(), b = a, c = a, d = a;
    for (Index i = at; i < at + kSumChunk; i += kLanes) {
      a = add(a, i, all);
      b = add(b, i + kSumChunk, all);
      c = add(c, i + 2 * kSumChunk, all);
      d = add(d, i + 3 * kSumChunk, all);
    }
    total += static_cast<double>(sum16(a));
    total += static_cast<double>(sum16(b));
    total += static_cast<double>(sum16(c));
    total += static_cast<double>(sum16(d));
  }
  for (; at < count; at += kSumChunk) {
    Vec a = Vec::zero();
    for_each_vector(at, smaller(at + kSumChunk, count), [&](Index i, Mask m) { a = add(a, i, m); });
    total += static_cast<double>(sum16(a));
  }
  return total;
}

inline double sum_floats(const float* x, Index count) {
  return sum_run(count, [x](Vec acc, Index i, Mask m) { return acc + load(x + i, m); });
}

// f(channel) over tasks.
template <class F>
void for_each_channel(Parallel& parallel, int channels, Index run, F&& f) {
  const int tasks = task_count(parallel, channels, kSerialElements / larger<Index>(run, 1) + 1);
  auto body = [&](int task, int) {
    for (Index c = part_begin(channels, tasks, task); c < part_begin(channels, tasks, task + 1); ++c) f(c);
  };
  for_each_task(parallel, tasks, body);
}

inline void bias_gradient(Parallel& parallel, int channels, std::int64_t run, const float* dy, float* dbias) {
  for_each_channel(parallel, channels, run,
                   [&](Index c) { dbias[c] = static_cast<float>(sum_floats(dy + c * run, run)); });
}

inline void add_bias(Parallel& parallel, int channels, std::int64_t run, const float* bias, float* y) {
  for_each_channel(parallel, channels, run, [&](Index c) {
    float* const to = y + c * run;
    const Vec b = Vec::of(bias[c]);
    for_each_vector(0, run, [&](Index i, Mask m) { store(to + i, load(to + i, m) + b, m); });
  });
}

// The gradient behind a relu brought in front of it, and its sums: dx = y > 0 ? dy : 0; dbias may be null.
inline void relu_bias_gradient(Parallel& parallel, int channels, std::int64_t run, const float* y, const float* dy,
                               float* dx, float* dbias) {
  const Vec zero = Vec::zero();
  for_each_channel(parallel, channels, run, [&](Index c) {
    const float* out = y + c * run;
    const float* grad = dy + c * run;
    float* to = dx + c * run;
    const double sum = sum_run(run, [=](Vec acc, Index i, Mask m) {
      const Vec g = select(less(zero, load(out + i, m)), load(grad + i, m), zero);
      store(to + i, g, m);
      return acc + g;
    });
    if (dbias != nullptr) dbias[c] = static_cast<float>(sum);
  });
}

// y = (x - mean) * scale + shift, perhaps cut off at 0
inline void normalise(const float* x, Index count, float mean, float scale, float shift, bool relu, float* y) {
  const Vec centre = Vec::of(mean), factor = Vec::of(scale), offset = Vec::of(shift), zero = Vec::zero();
  if (relu) {
    for_each_vector(0, count, [&](Index i, Mask m) {
      const Vec v = fma(load(x + i, m) - centre, factor, offset);
      store(y + i, select(less(v, zero), zero, v), m);
    });
    return;
  }
  for_each_vector(0, count, [&](Index i, Mask m) { store(y + i, fma(load(x + i, m) - centre, factor, offset), m); });
}

inline void batch_norm_train(Parallel& parallel, const BatchNormShape& s, float momentum, float epsilon, const float* x,
                             const float* gamma, const float* beta, float* y, float* mean, float* inv_std,
                             float* running_mean, float* running_var) {
  for_each_channel(parallel, s.channels, s.run, [&](Index c) {
    const float* in = x + c * s.run;
    const double count = static_cast<double>(s.run);
    const float centre = static_cast<float>(sum_floats(in, s.run) / count);
    const Vec mid = Vec::of(centre), zero = Vec::zero();
    const double squares = sum_run(s.run, [=](Vec acc, Index i, Mask m) {
      const Vec d = select(m, load(in + i, m) - mid, zero);
      return fma(d, d, acc);
    });
    const double variance = squares / count;
    const double unbiased = s.run > 1 ? squares / (count - 1.0) : variance;
    const float inverse = static_cast<float>(1.0 / __builtin_sqrt(variance + static_cast<double>(epsilon)));
    mean[c] = centre;
    inv_std[c] = inverse;
    running_mean[c] = (1.0F - momentum) * running_mean[c] + momentum * centre;
    running_var[c] = (1.0F - momentum) * running_var[c] + momentum * static_cast<float>(unbiased);
    normalise(in, s.run, centre, gamma[c] * inverse, beta[c], s.relu, y + c * s.run);
  });
}

inline void batch_norm_eval(Parallel& parallel, const BatchNormShape& s, float epsilon, const float* x,
                            const float* gamma, const float* beta, const float* running_mean, const float* running_var,
                            float* y) {
  for_each_channel(parallel, s.channels, s.run, [&](Index c) {
    const double variance = static_cast<double>(running_var[c]) + static_cast<double>(epsilon);
    const float inverse = static_cast<float>(1.0 / __builtin_sqrt(variance));
    normalise(x + c * s.run, s.run, running_mean[c], gamma[c] * inverse, beta[c], s.relu, y + c * s.run);
  });
}

// dbeta = sum dy; dgamma = inv_std sum dy (x - mean);
// dx = gamma inv_std (dy - dbeta / count - (x - mean) inv_std dgamma / count)
template <bool relu>
void batch_norm_backward(Parallel& parallel, const BatchNormShape& s, const float* x, const float* dy,
                         const float* gamma, const float* beta, const float* mean, const float* inv_std, float* dx,
                         float* dgamma, float* dbeta) {
  for_each_channel(parallel, s.channels, s.run, [&](Index c) {
    const float* in = x + c * s.run;
    const float* grad = dy + c * s.run;
    const double count = static_cast<double>(s.run), inverse = static_cast<double>(inv_std[c]);
    const Vec mid = Vec::of(mean[c]), zero = Vec::zero();
    const Vec scale = Vec::of(gamma[c] * inv_std[c]), offset = Vec::of(beta[c]);
    // The gradient where the output was above 0; that output is worked out again rather than read.
    const auto gradient = [=](Index i, Mask m) {
      const Vec g = load(grad + i, m);
      if constexpr (!relu) return g;
      return select(less(zero, fma(load(in + i, m) - mid, scale, offset)), g, zero);
    };
    const double sum = sum_run(s.run, [=](Vec acc, Index i, Mask m) { return acc + gradient(i, m); });
    const double product =
        sum_run(s.run, [=](Vec acc, Index i, Mask m) { return fma(gradient(i, m), load(in + i, m) - mid, acc); });
    dbeta[c] = static_cast<float>(sum);
    dgamma[c] = static_cast<float>(product * inverse);
    if (dx == nullptr) return;
    float* out = dx + c * s.run;
    const Vec average = Vec::of(static_cast<float>(sum / count));
    const Vec slope = Vec::of(static_cast<float>(product * inverse * inverse / count));
    for_each_vector(0, s.run, [&](Index i, Mask m) {
      store(out + i, scale * fma(mid - load(in + i, m), slope, gradient(i, m) - average), m);
    });
  });
}

inline void batch_norm_backward(Parallel& parallel, const BatchNormShape& s, const float* x, const float* dy,
                                const float* gamma, const float* beta, const float* mean, const float* inv_std,
                                float* dx, float* dgamma, float* dbeta) {
  if (s.relu) return batch_norm_backward<true>(parallel, s, x, dy, gamma, beta, mean, inv_std, dx, dgamma, dbeta);
  batch_norm_backward<false>(parallel, s, x, dy, gamma, beta, mean, inv_std, dx, dgamma, dbeta);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
