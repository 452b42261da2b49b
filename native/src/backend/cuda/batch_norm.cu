// batch_norm: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, with PyTorch's running statistics; perhaps a relu
// behind. Sums as sums.h has them: of a short run in one kernel, a block a channel of a lane; of a long one chunk by
// chunk, in a kernel of its own.
#include "backend/cuda/activate.h"
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/sums.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

using Sums = double[sum_warps];

// A channel's run of elements, and its numbers in arrays of the channels.
struct Channel {
  int lane, index;
  std::int64_t first;
  __device__ Channel(const LaneSet& lanes, int channels, std::int64_t run)
      : lane(lanes[static_cast<int>(blockIdx.x) / channels]),
        index(static_cast<int>(blockIdx.x) % channels),
        first(index * run) {}
};

__device__ inline float inverse_deviation(double variance, float epsilon) {
  return static_cast<float>(1.0 / ::sqrt(variance + static_cast<double>(epsilon)));
}

// What training leaves behind. `square`: the sum of the squares about the mean.
__device__ inline void keep_statistics(const LayerCall& call, int lane, int channel, float mean, float inverse,
                                       double square, double count) {
  const LayerShape& s = call.shape;
  float* const saved = reinterpret_cast<float*>(call.saved[lane]);
  saved[channel] = mean;
  saved[s.in.channels + channel] = inverse;
  float& running_mean = call.running_mean[lane][channel];
  float& running_var = call.running_var[lane][channel];
  const float unbiased = static_cast<float>(square / (count > 1.0 ? count - 1.0 : count));
  running_mean = (1.0F - s.momentum) * running_mean + s.momentum * mean;
  running_var = (1.0F - s.momentum) * running_var + s.momentum * unbiased;
}

__device__ inline float normalised(const LayerCall& call, float x, float mean, float scale, float offset) {
  const float y = ::fmaf(x - mean, scale, offset);
  return call.fusion.relu_behind ? Relu{}.forward(y) : y;
}
// The gradient at the norm's own output.
__device__ inline float gradient(const LayerCall& call, const float* y, const float* dy, std::int64_t i) {
  return call.fusion.relu_behind ? Relu{}.backward(y[i], dy[i]) : dy[i];
}

// Mean, then variance about it, then y. `saved`: {mean, 1 / sqrt(var + epsilon)}, [channels] each.
__global__ void __launch_bounds__(sum_threads) batch_norm_forward_kernel(LayerCall call, std::int64_t run) {
  CONVSWEEP_SHARED(Sums, sums);
  CONVSWEEP_SHARED(Sums, squares);
  const LayerShape& s = call.shape;
  const Channel c(call.lanes, s.in.channels, run);
  const float* const x = call.x[c.lane] + c.first;
  const int thread = static_cast<int>(threadIdx.x);
  float own = 0;
  for (std::int64_t i = thread; i < run; i += sum_threads) own = own + x[i];
  const double count = static_cast<double>(run);
  const float mean = static_cast<float>(sum_of_block(static_cast<double>(own), sums) / count);
  own = 0;
  for (std::int64_t i = thread; i < run; i += sum_threads) {
    const float d = x[i] - mean;
    own = ::fmaf(d, d, own);
  }
  const double square = sum_of_block(static_cast<double>(own), squares);
  const float inverse = inverse_deviation(square / count, s.epsilon);
  if (thread == 0) keep_statistics(call, c.lane, c.index, mean, inverse, square, count);
  const float scale = call.weight[c.lane][c.index] * inverse, offset = call.bias[c.lane][c.index];
  float* const y = call.y[c.lane] + c.first;
  for (std::int64_t i = thread; i < run; i += sum_threads) y[i] = normalised(call, x[i], mean, scale, offset);
}

__global__ void __launch_bounds__(element_threads) batch_norm_eval_kernel(LayerCall call, std::int64_t run) {
  const int lane = element_lane(call.lanes);
  const std::int64_t count = call.shape.in.channels * run;
  for (std::int64_t i = first_element(call.lanes); i < count; i += element_stride(call.lanes)) {
    const std::int64_t c = i / run;
    const float inverse = inverse_deviation(static_cast<double>(call.running_var[lane][c]), call.shape.epsilon);
    call.y[lane][i] = normalised(call, call.x[lane][i], call.running_mean[lane][c], call.weight[lane][c] * inverse,
                                 call.bias[lane][c]);
  }
}

// dbias = sum dy; dweight = inverse * sum dy (x - mean);
// dx = weight inverse (dy - dbias / count - (x - mean) inverse dweight / count)
__global__ void __launch_bounds__(sum_threads) batch_norm_backward_kernel(LayerCall call, std::int64_t run) {
  CONVSWEEP_SHARED(Sums, sums);
  CONVSWEEP_SHARED(Sums, products);
  const Channel c(call.lanes, call.shape.in.channels, run);
  const float* const x = call.x[c.lane] + c.first;
  const float *const y = call.y[c.lane] + c.first, *const dy = call.dy[c.lane] + c.first;
  const float* const saved = reinterpret_cast<const float*>(call.saved[c.lane]);
  const float mean = saved[c.index], inverse = saved[call.shape.in.channels + c.index];
  const int thread = static_cast<int>(threadIdx.x);
  float own = 0, own_product = 0;
  for (std::int64_t i = thread; i < run; i += sum_threads) {
    const float back = gradient(call, y, dy, i);
    own = own + back;
    own_product = ::fmaf(back, x[i] - mean, own_product);
  }
  const double sum = sum_of_block(static_cast<double>(own), sums);
  const double product = sum_of_block(static_cast<double>(own_product), products);
  const double wide = static_cast<double>(inverse), count = static_cast<double>(run);
  if (thread == 0) {
    call.dbias[c.lane][c.index] = static_cast<float>(sum);
    call.dweight[c.lane][c.index] = static_cast<float>(product * wide);
  }
  if (call.dx.base == nullptr) return;
  const float average = static_cast<float>(sum / count), slope = static_cast<float>(product * wide * wide / count);
  const float scale = call.weight[c.lane][c.index] * inverse;
  float* const dx = call.dx[c.lane] + c.first;
  for (std::int64_t i = thread; i < run; i += sum_threads) {
    dx[i] = scale * ::fmaf(mean - x[i], slope, gradient(call, y, dy, i) - average);
  }
}

// Long runs. Scratch memory: two sums of each chunk, [2][channels][chunks].
struct ChunkSums {
  double *first, *second;
  __device__ ChunkSums(const LayerCall& call, int lane, int channel, int number) {
    first = reinterpret_cast<double*>(call.scratch[lane]) + channel * number;
    second = first + call.shape.in.channels * number;
  }
};

// Near the channel's mean: that of its first 32 elements. Sums about it keep their digits.
__device__ inline float pivot_of(const float* x) {
  constexpr unsigned whole_warp = 0xFFFFFFFFU;
  float sum = x[static_cast<int>(threadIdx.x) % 32];
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) sum = sum + __shfl_xor_sync(whole_warp, sum, distance);
  return sum * (1.0F / 32.0F);
}

// Sums of x - pivot and of its squares.
__global__ void __launch_bounds__(sum_threads)
    batch_norm_moments_kernel(LayerCall call, std::int64_t run, Chunks chunks) {
  CONVSWEEP_SHARED(Sums, sums);
  CONVSWEEP_SHARED(Sums, squares);
  const ChunkPlace at(call.lanes, call.shape.in.channels, run, chunks);
  const float* const x = call.x[at.lane] + at.channel * run;
  const float pivot = pivot_of(x);
  float own = 0, own_square = 0;
  each_of_chunk(at.begin, at.end, [&](std::int64_t i) {
    const float d = x[i] - pivot;
    own = own + d;
    own_square = ::fmaf(d, d, own_square);
  });
  const double sum = sum_of_block(static_cast<double>(own), sums);
  const double square = sum_of_block(static_cast<double>(own_square), squares);
  if (threadIdx.x != 0) return;
  const ChunkSums to(call, at.lane, at.channel, chunks.number);
  to.first[at.chunk] = sum;
  to.second[at.chunk] = square;
}

__global__ void __launch_bounds__(sum_threads)
    batch_norm_chunk_forward_kernel(LayerCall call, std::int64_t run, Chunks chunks) {
  const ChunkPlace at(call.lanes, call.shape.in.channels, run, chunks);
  const ChunkSums sums(call, at.lane, at.channel, chunks.number);
  const float* const x = call.x[at.lane] + at.channel * run;
  const double count = static_cast<double>(run);
  const double away = sum_of_chunks(sums.first, chunks.number) / count;
  const double square = sum_of_chunks(sums.second, chunks.number) - away * away * count;
  const double positive = square > 0.0 || square != square ? square : 0.0;
  const float mean = static_cast<float>(static_cast<double>(pivot_of(x)) + away);
  const float inverse = inverse_deviation(positive / count, call.shape.epsilon);
  if (at.chunk == 0 && threadIdx.x == 0) keep_statistics(call, at.lane, at.channel, mean, inverse, positive, count);
  const float scale = call.weight[at.lane][at.channel] * inverse, offset = call.bias[at.lane][at.channel];
  float* const y = call.y[at.lane] + at.channel * run;
  each_of_chunk(at.begin, at.end, [&](std::int64_t i) { y[i] = normalised(call, x[i], mean, scale, offset); });
}

// Sums of dy and of dy (x - mean).
__global__ void __launch_bounds__(sum_threads)
    batch_norm_products_kernel(LayerCall call, std::int64_t run, Chunks chunks) {
  CONVSWEEP_SHARED(Sums, sums);
  CONVSWEEP_SHARED(Sums, products);
  const ChunkPlace at(call.lanes, call.shape.in.channels, run, chunks);
  const std::int64_t first = at.channel * run;
  const float *const x = call.x[at.lane] + first, *const y = call.y[at.lane] + first,
                     *const dy = call.dy[at.lane] + first;
  const float mean = reinterpret_cast<const float*>(call.saved[at.lane])[at.channel];
  float own = 0, own_product = 0;
  each_of_chunk(at.begin, at.end, [&](std::int64_t i) {
    const float back = gradient(call, y, dy, i);
    own = own + back;
    own_product = ::fmaf(back, x[i] - mean, own_product);
  });
  const double sum = sum_of_block(static_cast<double>(own), sums);
  const double product = sum_of_block(static_cast<double>(own_product), products);
  if (threadIdx.x != 0) return;
  const ChunkSums to(call, at.lane, at.channel, chunks.number);
  to.first[at.chunk] = sum;
  to.second[at.chunk] = product;
}

__global__ void __launch_bounds__(sum_threads)
    batch_norm_chunk_backward_kernel(LayerCall call, std::int64_t run, Chunks chunks) {
  const ChunkPlace at(call.lanes, call.shape.in.channels, run, chunks);
  const ChunkSums sums(call, at.lane, at.channel, chunks.number);
  const std::int64_t first = at.channel * run;
  const float *const x = call.x[at.lane] + first, *const y = call.y[at.lane] + first,
                     *const dy = call.dy[at.lane] + first;
  const float* const saved = reinterpret_cast<const float*>(call.saved[at.lane]);
  const float mean = saved[at.channel], inverse = saved[call.shape.in.channels + at.channel];
  const double sum = sum_of_chunks(sums.first, chunks.number), product = sum_of_chunks(sums.second, chunks.number);
  const double wide = static_cast<double>(inverse), count = static_cast<double>(run);
  if (at.chunk == 0 && threadIdx.x == 0) {
    call.dbias[at.lane][at.channel] = static_cast<float>(sum);
    call.dweight[at.lane][at.channel] = static_cast<float>(product * wide);
  }
  if (call.dx.base == nullptr) return;
  const float average = static_cast<float>(sum / count), slope = static_cast<float>(product * wide * wide / count);
  const float scale = call.weight[at.lane][at.channel] * inverse;
  float* const dx = call.dx[at.lane] + first;
  each_of_chunk(at.begin, at.end, [&](std::int64_t i) {
    dx[i] = scale * ::fmaf(mean - x[i], slope, gradient(call, y, dy, i) - average);
  });
}

std::int64_t run_of(const LayerCall& call) { return call.shape.in.plane() * call.n; }

}  // namespace

void batch_norm_forward(ExecutionContext& context, const LayerCall& call) {
  const cudaStream_t stream = cast(context).stream;
  const std::int64_t run = run_of(call);
  const Chunks chunks = chunks_of(run);
  const dim3 threads(sum_threads), blocks = chunk_grid(call.lanes, call.shape.in.channels, chunks);
  if (!call.training) {
    CONVSWEEP_LAUNCH(batch_norm_eval_kernel, element_grid(call.lanes, call.shape.in.size() * call.n),
                     dim3(element_threads), 0, stream, call, run);
  } else if (chunks.number == 1) {
    CONVSWEEP_LAUNCH(batch_norm_forward_kernel, blocks, threads, 0, stream, call, run);
  } else {
    CONVSWEEP_LAUNCH(batch_norm_moments_kernel, blocks, threads, 0, stream, call, run, chunks);
    CONVSWEEP_LAUNCH(batch_norm_chunk_forward_kernel, blocks, threads, 0, stream, call, run, chunks);
  }
}

void batch_norm_backward(ExecutionContext& context, const LayerCall& call) {
  const cudaStream_t stream = cast(context).stream;
  const std::int64_t run = run_of(call);
  const Chunks chunks = chunks_of(run);
  const dim3 threads(sum_threads), blocks = chunk_grid(call.lanes, call.shape.in.channels, chunks);
  if (chunks.number == 1) {
    CONVSWEEP_LAUNCH(batch_norm_backward_kernel, blocks, threads, 0, stream, call, run);
  } else {
    CONVSWEEP_LAUNCH(batch_norm_products_kernel, blocks, threads, 0, stream, call, run, chunks);
    CONVSWEEP_LAUNCH(batch_norm_chunk_backward_kernel, blocks, threads, 0, stream, call, run, chunks);
  }
}

std::size_t batch_norm_scratch_bytes(const LayerShape& s, int n, int) {
  return 2 * chunk_bytes(s.in.channels, s.in.plane() * n);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
