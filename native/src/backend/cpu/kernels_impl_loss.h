// Softmax cross entropy with label smoothing, and binary cross entropy, sixteen columns at a time.
//
// Guarantees: classes in ascending order within a column, columns in ascending order in the sum (in double).
#pragma once

#include "kernels_impl_common.h"
#include "ops/math.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline LossResult softmax_cross_entropy(const SoftmaxLossArgs& args, const float* logits,
                                               const std::int32_t* labels, float* dlogits) {
  LossResult result;
  const Index batch = args.batch;
  const float smoothing = args.label_smoothing;
  const Vec zero = Vec::zero();
  const Vec share = Vec::of(1.0F / static_cast<float>(args.valid));
  const Vec kept = Vec::of(1.0F - smoothing), spread = Vec::of(smoothing / static_cast<float>(args.classes));
  for (Index n = 0; n < batch; n += kLanes) {
    const int width = static_cast<int>(smaller<Index>(kLanes, batch - n));
    const int valid = static_cast<int>(larger<Index>(smaller<Index>(width, args.valid - n), 0));
    const Mask all = first_lanes(width), counted = first_lanes(valid);
    if (valid == 0) {
      if (dlogits != nullptr) {
        for (int c = 0; c < args.classes; ++c) store(dlogits + c * batch + n, zero, all);
      }
      continue;
    }
    const Int label = load_int(labels + n, counted);
    Vec most = load(logits + n, all), own = zero;
    Int winner = Int::of(0);
    for (int c = 0; c < args.classes; ++c) {
      const Vec z = load(logits + c * batch + n, all);
      const Mask higher = less(most, z);
      most = select(higher, z, most);
      winner = select(higher, Int::of(c), winner);
      own = select(equal(label, Int::of(c)), z, own);
    }
    Vec sum = zero;
    Vec distance = zero;  // sum of (most - z), needed only with smoothing
    for (int c = 0; c < args.classes; ++c) {
      const Vec z = load(logits + c * batch + n, all);
      const Vec e = math::exp_of(z - most);
      sum = sum + e;
      distance = distance + (most - z);
      if (dlogits != nullptr) store(dlogits + c * batch + n, e, all);
    }
    const Vec log_sum = math::log_of(sum);
    Vec loss = log_sum + (most - own);
    if (smoothing > 0.0F) {
      const Vec every = fma(Vec::of(static_cast<float>(args.classes)), log_sum, distance);
      loss = fma(kept, loss, spread * every);
    }
    float losses[kLanes];
    store(losses, loss);
    for (int i = 0; i < valid; ++i) result.loss_sum += static_cast<double>(losses[i]);
    const Mask right = equal(winner, label) & counted;
    float hits[kLanes];
    store(hits, select(is_nan(sum), zero, select(right, Vec::of(1.0F), zero)));
    for (int i = 0; i < valid; ++i) result.correct += hits[i] > 0.0F ? 1 : 0;
    if (dlogits != nullptr) {
      for (int c = 0; c < args.classes; ++c) {
        const Vec p = load(dlogits + c * batch + n, all) / sum;
        const Vec target = select(equal(label, Int::of(c)), kept, zero) + spread;
        store(dlogits + c * batch + n, select(counted, (p - target) * share, zero), all);
      }
    }
  }
  return result;
}

// log(1 + e) for e in [0, 1]: with u = 1 + e rounded, log(u) e / (u - 1) takes the rounding back out (W. Kahan; HP-15C
// Advanced Functions Handbook, 1982).
CONVSWEEP_INLINE Vec log_of_one_plus(Vec e) {
  const Vec one = Vec::of(1.0F);
  const Vec u = one + e, rounded = u - one;
  const Mask tiny = less(rounded, Vec::of(1e-8F));  // e is lost in 1
  return select(tiny, e, math::log_of(u) * (e / select(tiny, one, rounded)));
}

inline LossResult binary_cross_entropy(const BinaryLossArgs& args, const float* logits, const std::int32_t* labels,
                                       float* dlogits) {
  LossResult result;
  const Index batch = args.batch;
  const Vec zero = Vec::zero(), share = Vec::of(1.0F / static_cast<float>(batch));
  for (Index n = 0; n < batch; n += kLanes) {
    const int width = static_cast<int>(smaller<Index>(kLanes, batch - n));
    const Mask all = first_lanes(width);
    const Vec z = load(logits + n, all);
    const Int label = labels == nullptr ? Int::of(args.label) : load_int(labels + n, all);
    const Mask is_one = equal(label, Int::of(1));
    const Vec target = select(is_one, Vec::of(args.one), Vec::of(args.zero));
    const Vec e = math::exp_of(zero - math::absolute(z));
    // Where z is not a number the last term is not either.
    const Vec loss = fma(zero - z, target, select(less(zero, z), z, zero)) + log_of_one_plus(e);
    float losses[kLanes], hits[kLanes];
    store(losses, loss);
    const Vec yes = Vec::of(1.0F);
    const Vec says_one = select(less(zero, z), yes, zero), says_zero = select(is_nan(z), zero, yes - says_one);
    store(hits, select(is_one, says_one, says_zero));
    for (int i = 0; i < width; ++i) result.loss_sum += static_cast<double>(losses[i]);
    for (int i = 0; i < width; ++i) result.correct += hits[i] > 0.0F ? 1 : 0;
    if (dlogits != nullptr) store(dlogits + n, (math::sigmoid_of(z) - target) * share, all);
  }
  return result;
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
