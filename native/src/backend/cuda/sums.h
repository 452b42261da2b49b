// Sums over runs of elements, one for each (lane, channel), in one order.
//
// Guarantees: a run of fewer than 1,024 elements is summed by a warp, a longer one by a block; each thread adds its
// elements in strides, in single precision, and the threads' sums meet in double in a binary tree. So the order depends
// on the run's length alone.
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline constexpr int sum_threads = 256, sum_warps = sum_threads / 32;
inline constexpr int shortest_block_run = 1024;

// Every thread of the warp gets the sum.
__device__ inline double sum_of_warp(double own) {
  constexpr unsigned whole_warp = 0xFFFFFFFFU;
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) own += __shfl_xor_sync(whole_warp, own, distance);
  return own;
}

// Every thread of a block of sum_threads gets the sum; of_warp is shared memory that nobody may still read.
__device__ inline double sum_of_block(double own, double (&of_warp)[sum_warps]) {
  const int thread = static_cast<int>(threadIdx.x);
  own = sum_of_warp(own);
  if (thread % 32 == 0) of_warp[thread / 32] = own;
  if constexpr (planted == Fault::race_between_warps) {
    __syncwarp();
  } else {
    __syncthreads();
  }
  double sum = 0;
#pragma unroll
  for (int warp = 0; warp < sum_warps; ++warp) sum += of_warp[warp];
  return sum;
}

// term(lane, channel, i) for i < run, summed; take(lane, channel, sum) is called by one thread.
template <class Term, class Take>
__global__ void __launch_bounds__(sum_threads)
    warp_sums_kernel(LaneSet lanes, int channels, std::int64_t run, Term term, Take take) {
  const int warp = static_cast<int>(threadIdx.x) / 32, place = static_cast<int>(threadIdx.x) % 32;
  const std::int64_t index = std::int64_t{blockIdx.x} * sum_warps + warp;
  if (index >= std::int64_t{channels} * lanes.count) return;
  const int lane = lanes[static_cast<int>(index / channels)], channel = static_cast<int>(index % channels);
  float own = 0;
  for (std::int64_t i = place; i < run; i += 32) own = own + term(lane, channel, i);
  const double sum = sum_of_warp(static_cast<double>(own));
  if (place == 0) take(lane, channel, sum);
}

template <class Term, class Take>
__global__ void __launch_bounds__(sum_threads)
    block_sums_kernel(LaneSet lanes, int channels, std::int64_t run, Term term, Take take) {
  using Sums = double[sum_warps];
  CONVSWEEP_SHARED(Sums, of_warp);
  const unsigned of = static_cast<unsigned>(channels);
  const int lane = lanes[static_cast<int>(blockIdx.x / of)], channel = static_cast<int>(blockIdx.x % of);
  float own = 0;
  for (std::int64_t i = static_cast<int>(threadIdx.x); i < run; i += sum_threads) own = own + term(lane, channel, i);
  const double sum = sum_of_block(static_cast<double>(own), of_warp);
  if (threadIdx.x == 0) take(lane, channel, sum);
}

template <class Term, class Take>
void sum_runs(ExecutionContext& context, const LaneSet& lanes, int channels, std::int64_t run, Term term, Take take) {
  const std::int64_t runs = std::int64_t{channels} * lanes.count;
  if (run < shortest_block_run) {
    CONVSWEEP_LAUNCH((warp_sums_kernel<Term, Take>), dim3(static_cast<unsigned>((runs + sum_warps - 1) / sum_warps)),
                     dim3(sum_threads), 0, cast(context).stream, lanes, channels, run, term, take);
  } else {
    CONVSWEEP_LAUNCH((block_sums_kernel<Term, Take>), dim3(static_cast<unsigned>(runs)), dim3(sum_threads), 0,
                     cast(context).stream, lanes, channels, run, term, take);
  }
}

// The gradient of a bias: the sum of dy, [channels][run], over each channel.
struct RunTerm {
  Lanes<const float> values;
  std::int64_t run;
  __device__ float operator()(int lane, int channel, std::int64_t i) const { return values[lane][channel * run + i]; }
};
struct TakeFloat {
  Lanes<float> to;
  __device__ void operator()(int lane, int channel, double sum) const { to[lane][channel] = static_cast<float>(sum); }
};
inline void bias_gradient(ExecutionContext& context, const LaneSet& lanes, int channels, std::int64_t run,
                          Lanes<const float> dy, Lanes<float> dbias) {
  sum_runs(context, lanes, channels, run, RunTerm{dy, run}, TakeFloat{dbias});
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
