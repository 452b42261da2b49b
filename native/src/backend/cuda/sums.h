// Sums over runs of elements, one for each (lane, channel), in one order.
//
// Guarantees: a run of fewer than 1,024 elements is summed by a warp, one of fewer than 8,192, or without scratch
// memory, by a block, a longer one by a block a chunk; each thread adds its elements in strides, in single precision,
// the threads' sums meet in double in a binary tree, and so do the chunks'. So the order depends on the run's length
// alone.
#pragma once

#include "backend/cuda/activate.h"
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

// A long run is cut into chunks, a block each, so that a few channels fill a device. `number` and `size` follow from
// the run alone.
struct Chunks {
  int number = 1;
  std::int64_t size = 0;
};
inline Chunks chunks_of(std::int64_t run) {
  constexpr std::int64_t least_run = 8192, least_size = 4096, most_chunks = 256;
  if (run < least_run) return {1, run};
  const std::int64_t even = (run + most_chunks - 1) / most_chunks;
  const std::int64_t size = (even < least_size ? least_size : even + 3) / 4 * 4;
  return {static_cast<int>((run + size - 1) / size), size};
}

// Where a block of a chunk is at work: blocks go chunk by chunk, channel by channel, lane by lane.
struct ChunkPlace {
  int lane, channel, chunk;
  // Of the run.
  std::int64_t begin, end;
  __device__ ChunkPlace(const LaneSet& lanes, int channels, std::int64_t run, const Chunks& chunks) {
    const unsigned number = static_cast<unsigned>(chunks.number), of = static_cast<unsigned>(channels);
    chunk = static_cast<int>(blockIdx.x % number);
    channel = static_cast<int>(blockIdx.x / number % of);
    lane = lanes[static_cast<int>(blockIdx.x / number / of)];
    begin = chunk * chunks.size;
    end = begin + chunks.size < run ? begin + chunks.size : run;
  }
};
inline dim3 chunk_grid(const LaneSet& lanes, int channels, const Chunks& chunks) {
  return dim3(static_cast<unsigned>(std::int64_t{lanes.count} * channels * chunks.number));
}

// visit(i) for this thread's share of a chunk: four neighbours, then those a block further on.
template <class Visit>
__device__ inline void each_of_chunk(std::int64_t begin, std::int64_t end, const Visit& visit) {
  for (std::int64_t four = begin + 4 * static_cast<int>(threadIdx.x); four < end; four += 4 * sum_threads) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      if (four + k < end) visit(four + k);
    }
  }
}

// The sum of a channel's chunks, for all threads of a warp: each adds every 32nd, then they meet in a binary tree.
__device__ inline double sum_of_chunks(const double* of_chunk, int number) {
  double own = 0;
  for (int chunk = static_cast<int>(threadIdx.x) % 32; chunk < number; chunk += 32) own += of_chunk[chunk];
  return sum_of_warp(own);
}

template <class Term>
__global__ void __launch_bounds__(sum_threads)
    chunk_sums_kernel(LaneSet lanes, int channels, std::int64_t run, Chunks chunks, Term term, Lanes<std::byte> sums) {
  using Sums = double[sum_warps];
  CONVSWEEP_SHARED(Sums, of_warp);
  const ChunkPlace at(lanes, channels, run, chunks);
  float own = 0;
  each_of_chunk(at.begin, at.end, [&](std::int64_t i) { own = own + term(at.lane, at.channel, i); });
  const double sum = sum_of_block(static_cast<double>(own), of_warp);
  if (threadIdx.x == 0) reinterpret_cast<double*>(sums[at.lane])[at.channel * chunks.number + at.chunk] = sum;
}

template <class Take>
__global__ void __launch_bounds__(sum_threads)
    take_chunks_kernel(LaneSet lanes, int channels, int number, Lanes<std::byte> sums, Take take) {
  const std::int64_t index = std::int64_t{blockIdx.x} * sum_warps + static_cast<int>(threadIdx.x) / 32;
  if (index >= std::int64_t{channels} * lanes.count) return;
  const int lane = lanes[static_cast<int>(index / channels)], channel = static_cast<int>(index % channels);
  const double sum = sum_of_chunks(reinterpret_cast<const double*>(sums[lane]) + channel * number, number);
  if (threadIdx.x % 32 == 0) take(lane, channel, sum);
}

// Scratch memory of a lane that sum_long_runs needs.
inline std::size_t chunk_bytes(int channels, std::int64_t run) {
  const Chunks chunks = chunks_of(run);
  return chunks.number == 1 ? 0 : static_cast<std::size_t>(std::int64_t{channels} * chunks.number) * sizeof(double);
}

// sum_runs, with scratch memory for long runs.
template <class Term, class Take>
void sum_long_runs(ExecutionContext& context, const LaneSet& lanes, int channels, std::int64_t run, Term term,
                   Take take, Lanes<std::byte> scratch) {
  const Chunks chunks = chunks_of(run);
  if (chunks.number == 1) return sum_runs(context, lanes, channels, run, term, take);
  CONVSWEEP_LAUNCH(chunk_sums_kernel<Term>, chunk_grid(lanes, channels, chunks), dim3(sum_threads), 0,
                   cast(context).stream, lanes, channels, run, chunks, term, scratch);
  const std::int64_t sums = std::int64_t{channels} * lanes.count;
  CONVSWEEP_LAUNCH(take_chunks_kernel<Take>, dim3(static_cast<unsigned>((sums + sum_warps - 1) / sum_warps)),
                   dim3(sum_threads), 0, cast(context).stream, lanes, channels, chunks.number, scratch, take);
}

struct RunTerm {
  Lanes<const float> values;
  std::int64_t run;
  __device__ float operator()(int lane, int channel, std::int64_t i) const { return values[lane][channel * run + i]; }
};
// What a relu lets through of its gradient, left in `cut`.
struct CutTerm {
  Lanes<const float> y, dy;
  Lanes<float> cut;
  std::int64_t run;
  __device__ float operator()(int lane, int channel, std::int64_t i) const {
    const std::int64_t at = channel * run + i;
    return cut[lane][at] = Relu{}.backward(y[lane][at], dy[lane][at]);
  }
};
struct TakeFloat {
  // Null where nobody wants the sum.
  Lanes<float> to;
  __device__ void operator()(int lane, int channel, double sum) const {
    if (to.base != nullptr) to[lane][channel] = static_cast<float>(sum);
  }
};

// The gradient of a bias, the sum of dy, [channels][run], over each channel; with a relu behind the layer of what it
// lets through. Answers what goes on into the products. Scratch: chunk_bytes.
inline Lanes<const float> bias_gradient(ExecutionContext& context, const LayerCall& call, int channels,
                                        std::int64_t run) {
  if (call.fusion.relu_behind) {
    sum_long_runs(context, call.lanes, channels, run, CutTerm{call.y, call.dy, call.dcut, run}, TakeFloat{call.dbias},
                  call.scratch);
    return call.dcut;
  }
  if (call.dbias) {
    sum_long_runs(context, call.lanes, channels, run, RunTerm{call.dy, run}, TakeFloat{call.dbias}, call.scratch);
  }
  return call.dy;
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
