// Softmax cross entropy with label smoothing, sixteen columns at a time.
//
// Guarantees: classes in ascending order within a column, columns in ascending order in the sum (in double).
#pragma once

#include "kernels_impl_common.h"
#include "ops/math.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

inline SoftmaxLossResult softmax_cross_entropy(const SoftmaxLossArgs& args, const float* logits,
                                               const std::int32_t* labels, float* dlogits) {
  SoftmaxLossResult result;
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

}  // namespace convsweep::cpu::CONVSWEEP_ISA
