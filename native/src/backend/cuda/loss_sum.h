// The sum of a batch's losses and hits over a block, in double, by shuffles: in strides of the block, then up a binary
// tree, the same for every order of threads.
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline constexpr int loss_threads = 128, loss_warps = loss_threads / 32;

// What a warp, or a thread, adds up.
struct LossPartial {
  double loss = 0;
  std::int32_t correct = 0;
};

// Lane 0 gets the sum over the `width` first lanes of a warp.
__device__ inline LossPartial warp_sum(LossPartial own, int width) {
  constexpr unsigned whole_warp = 0xFFFFFFFFU;
  for (int distance = width / 2; distance > 0; distance /= 2) {
    own.loss += __shfl_down_sync(whole_warp, own.loss, static_cast<unsigned>(distance));
    own.correct += __shfl_down_sync(whole_warp, own.correct, static_cast<unsigned>(distance));
  }
  return own;
}

// Called by all threads of a block of loss_threads; of_warp is shared memory for loss_warps sums.
__device__ inline void write_loss_sum(LossPartial own, LossPartial* of_warp, LaneMetrics* to) {
  const int thread = static_cast<int>(threadIdx.x);
  own = warp_sum(own, 32);
  if (thread % 32 == 0) of_warp[thread / 32] = own;
  if constexpr (planted != Fault::missing_barrier) __syncthreads();
  if (thread >= 32) return;
  own = warp_sum(thread < loss_warps ? of_warp[thread] : LossPartial{}, loss_warps);
  if (thread == 0) {
    to->loss_sum = own.loss;
    to->correct = own.correct;
  }
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
