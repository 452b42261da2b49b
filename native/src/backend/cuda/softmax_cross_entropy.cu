// softmax_cross_entropy: a block a lane, a thread an image, then a reduction over the block by shuffles.
//
// Threads stride over the images, so reads of a class are contiguous; a thread goes over the classes in order.
#include "backend/cuda/kernels.h"
#include "backend/cuda/loss_sum.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// The loss of one image; its gradient where `gradient` is not null. Both point at the image's first class, further
// classes follow in steps of n.
__device__ inline float image_loss(const float* logits, float* gradient, int label, int classes, int n, float smoothing,
                                   bool* right) {
  const float kept = 1.0F - smoothing, spread = smoothing / static_cast<float>(classes);
  float most = logits[0], own = 0;
  int winner = 0;
  for (int c = 0; c < classes; ++c) {
    const float z = logits[std::int64_t{c} * n];
    if (most < z) {
      most = z;
      winner = c;
    }
    if (c == label) own = z;
  }
  float sum = 0, distance = 0;
  for (int c = 0; c < classes; ++c) {
    const float z = logits[std::int64_t{c} * n];
    sum = sum + math::exp(z - most);
    distance = distance + (most - z);
  }
  if (gradient != nullptr) {
    const float share = 1.0F / static_cast<float>(n);
    for (int c = 0; c < classes; ++c) {
      const float p = math::exp(logits[std::int64_t{c} * n] - most) / sum;
      const float target = (c == label ? kept : 0.0F) + spread;
      gradient[std::int64_t{c} * n] = (p - target) * share;
    }
  }
  // A logit that is NaN makes the sum NaN: nothing is right then.
  *right = winner == label && sum == sum;
  const float log_sum = math::log(sum), loss = log_sum + (most - own);
  if (!(smoothing > 0.0F)) return loss;
  return ::fmaf(kept, loss, spread * ::fmaf(static_cast<float>(classes), log_sum, distance));
}

// Dynamic shared memory: a LossPartial for each warp.
__global__ void __launch_bounds__(loss_threads)
    softmax_cross_entropy_kernel(LaneSet lanes, const LaneScalars* scalars, Lanes<const float> logits,
                                 Lanes<const std::int32_t> labels, Lanes<float> dlogits, LaneMetrics* metrics,
                                 int classes, int n) {
  CONVSWEEP_DYNAMIC_SHARED(LossPartial, of_warp);
  const int lane = lanes[static_cast<int>(blockIdx.x)];
  const int thread = static_cast<int>(threadIdx.x);
  const float smoothing = scalars[lane].label_smoothing;
  LossPartial own;
  for (int image = thread; image < n; image += loss_threads) {
    bool right = false;
    own.loss +=
        static_cast<double>(image_loss(logits[lane] + image, dlogits.base != nullptr ? dlogits[lane] + image : nullptr,
                                       labels[lane][image], classes, n, smoothing, &right));
    own.correct += right ? 1 : 0;
  }
  write_loss_sum(own, of_warp, metrics + lane);
}

}  // namespace

void softmax_cross_entropy(ExecutionContext& context, const LossCall& call) {
  CONVSWEEP_LAUNCH(softmax_cross_entropy_kernel, dim3(static_cast<unsigned>(call.lanes.count)), dim3(loss_threads),
                   loss_warps * sizeof(LossPartial), cast(context).stream, call.lanes, call.scalars, call.logits,
                   call.labels, call.dlogits, call.metrics, call.classes, call.n);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
