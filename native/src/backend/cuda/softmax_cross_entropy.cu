// softmax_cross_entropy: a block a lane, a thread an image, then a reduction over the block by shuffles.
//
// Threads stride over the images, so reads of a class are contiguous; a thread goes over the classes in order.
#include "backend/cuda/kernels.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr int threads = 128, warps = threads / 32;
constexpr unsigned whole_warp = 0xFFFFFFFFU;

// What a warp, or a thread, adds up.
struct Partial {
  double loss = 0;
  std::int32_t correct = 0;
};

// Lane 0 gets the sum over the `width` first lanes of a warp, up a binary tree.
__device__ inline Partial tree_sum(Partial own, int width) {
  for (int distance = width / 2; distance > 0; distance /= 2) {
    own.loss += __shfl_down_sync(whole_warp, own.loss, static_cast<unsigned>(distance));
    own.correct += __shfl_down_sync(whole_warp, own.correct, static_cast<unsigned>(distance));
  }
  return own;
}

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

// Dynamic shared memory: a Partial for each warp.
__global__ void __launch_bounds__(threads)
    softmax_cross_entropy_kernel(LaneSet lanes, const LaneScalars* scalars, Lanes<const float> logits,
                                 Lanes<const std::int32_t> labels, Lanes<float> dlogits, LaneMetrics* metrics,
                                 int classes, int n) {
  CONVSWEEP_DYNAMIC_SHARED(Partial, of_warp);
  const int lane = lanes[static_cast<int>(blockIdx.x)];
  const int thread = static_cast<int>(threadIdx.x);
  const float smoothing = scalars[lane].label_smoothing;
  Partial own;
  for (int image = thread; image < n; image += threads) {
    bool right = false;
    own.loss +=
        static_cast<double>(image_loss(logits[lane] + image, dlogits.base != nullptr ? dlogits[lane] + image : nullptr,
                                       labels[lane][image], classes, n, smoothing, &right));
    own.correct += right ? 1 : 0;
  }
  own = tree_sum(own, 32);
  if (thread % 32 == 0) of_warp[thread / 32] = own;
  if constexpr (planted != Fault::missing_barrier) __syncthreads();
  if (thread >= 32) return;
  own = tree_sum(thread < warps ? of_warp[thread] : Partial{}, warps);
  if (thread == 0) {
    metrics[lane].loss_sum = own.loss;
    metrics[lane].correct = own.correct;
  }
}

}  // namespace

void softmax_cross_entropy(ExecutionContext& context, const LossCall& call) {
  CONVSWEEP_LAUNCH(softmax_cross_entropy_kernel, dim3(static_cast<unsigned>(call.lanes.count)), dim3(threads),
                   warps * sizeof(Partial), cast(context).stream, call.lanes, call.scalars, call.logits, call.labels,
                   call.dlogits, call.metrics, call.classes, call.n);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
