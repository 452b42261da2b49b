// binary_cross_entropy: a block a lane, a thread an image. Each loss and gradient has the CPU's bytes.
#include "backend/cuda/kernels.h"
#include "backend/cuda/loss_sum.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// log(1 + e) for e in [0, 1]: with u = 1 + e rounded, log(u) e / (u - 1) takes the rounding back out (W. Kahan; HP-15C
// Advanced Functions Handbook, 1982).
__device__ inline float log_of_one_plus(float e) {
  const float u = 1.0F + e, rounded = u - 1.0F;
  return rounded < 1e-8F ? e : math::log(u) * (e / rounded);
}

// The target of an image, and whether it counts as a one.
struct Target {
  float value;
  bool is_one;
};

__device__ inline Target target_of(BinaryTarget target, float smoothing, bool label_is_one) {
  const float half = 0.5F * smoothing;
  switch (target) {
    case BinaryTarget::labels:
      return {label_is_one ? 1.0F - half : half, label_is_one};
    case BinaryTarget::one:
      return {1.0F, true};
    case BinaryTarget::smoothed_one:
      return {1.0F - smoothing, true};
    case BinaryTarget::zero:
      break;
  }
  return {0.0F, false};
}

// Dynamic shared memory: a LossPartial for each warp.
__global__ void __launch_bounds__(loss_threads) binary_cross_entropy_kernel(LossCall call) {
  CONVSWEEP_DYNAMIC_SHARED(LossPartial, of_warp);
  const int lane = call.lanes[static_cast<int>(blockIdx.x)];
  const float smoothing = call.scalars[lane].label_smoothing, share = 1.0F / static_cast<float>(call.n);
  LossPartial own;
  for (int i = static_cast<int>(threadIdx.x); i < call.n; i += loss_threads) {
    const float z = call.logits[lane][i];
    const bool reads = call.target == BinaryTarget::labels;
    const Target target = target_of(call.target, smoothing, reads && call.labels[lane][i] == 1);
    const float e = math::exp(0.0F - math::absolute(math::Single{z}).v);
    // Where z is not a number the last term is not either.
    const float loss = ::fmaf(0.0F - z, target.value, 0.0F < z ? z : 0.0F) + log_of_one_plus(e);
    own.loss += static_cast<double>(loss);
    const bool says_one = 0.0F < z;
    own.correct += (target.is_one ? says_one : !says_one && z == z) ? 1 : 0;
    if (call.dlogits.base != nullptr) call.dlogits[lane][i] = (math::sigmoid(z) - target.value) * share;
  }
  write_loss_sum(own, of_warp, call.metrics + lane);
}

}  // namespace

void binary_cross_entropy(ExecutionContext& context, const LossCall& call) {
  CONVSWEEP_LAUNCH(binary_cross_entropy_kernel, dim3(static_cast<unsigned>(call.lanes.count)), dim3(loss_threads),
                   loss_warps * sizeof(LossPartial), cast(context).stream, call);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
