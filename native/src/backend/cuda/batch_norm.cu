// batch_norm: S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, with PyTorch's running statistics. A block a
// channel of a lane; sums as sums.h has them.
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
  if (thread == 0) {
    float* const saved = reinterpret_cast<float*>(call.saved[c.lane]);
    saved[c.index] = mean;
    saved[s.in.channels + c.index] = inverse;
    float& running_mean = call.running_mean[c.lane][c.index];
    float& running_var = call.running_var[c.lane][c.index];
    const float unbiased = static_cast<float>(square / (run > 1 ? count - 1.0 : count));
    running_mean = (1.0F - s.momentum) * running_mean + s.momentum * mean;
    running_var = (1.0F - s.momentum) * running_var + s.momentum * unbiased;
  }
  const float scale = call.weight[c.lane][c.index] * inverse, offset = call.bias[c.lane][c.index];
  float* const y = call.y[c.lane] + c.first;
  for (std::int64_t i = thread; i < run; i += sum_threads) y[i] = ::fmaf(x[i] - mean, scale, offset);
}

__global__ void __launch_bounds__(element_threads) batch_norm_eval_kernel(LayerCall call, std::int64_t run) {
  const int lane = element_lane(call.lanes);
  const std::int64_t count = call.shape.in.channels * run;
  for (std::int64_t i = first_element(call.lanes); i < count; i += element_stride(call.lanes)) {
    const std::int64_t c = i / run;
    const float inverse = inverse_deviation(static_cast<double>(call.running_var[lane][c]), call.shape.epsilon);
    call.y[lane][i] =
        ::fmaf(call.x[lane][i] - call.running_mean[lane][c], call.weight[lane][c] * inverse, call.bias[lane][c]);
  }
}

// dbias = sum dy; dweight = inverse * sum dy (x - mean);
// dx = weight inverse (dy - dbias / count - (x - mean) inverse dweight / count)
__global__ void __launch_bounds__(sum_threads) batch_norm_backward_kernel(LayerCall call, std::int64_t run) {
  CONVSWEEP_SHARED(Sums, sums);
  CONVSWEEP_SHARED(Sums, products);
  const Channel c(call.lanes, call.shape.in.channels, run);
  const float* const x = call.x[c.lane] + c.first;
  const float* const dy = call.dy[c.lane] + c.first;
  const float* const saved = reinterpret_cast<const float*>(call.saved[c.lane]);
  const float mean = saved[c.index], inverse = saved[call.shape.in.channels + c.index];
  const int thread = static_cast<int>(threadIdx.x);
  float own = 0, own_product = 0;
  for (std::int64_t i = thread; i < run; i += sum_threads) {
    own = own + dy[i];
    own_product = ::fmaf(dy[i], x[i] - mean, own_product);
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
    dx[i] = scale * ::fmaf(mean - x[i], slope, dy[i] - average);
  }
}

std::int64_t run_of(const LayerCall& call) { return call.shape.in.plane() * call.n; }
dim3 channel_grid(const LayerCall& call) {
  return dim3(static_cast<unsigned>(call.shape.in.channels) * static_cast<unsigned>(call.lanes.count));
}

}  // namespace

void batch_norm_forward(ExecutionContext& context, const LayerCall& call) {
  if (call.training) {
    CONVSWEEP_LAUNCH(batch_norm_forward_kernel, channel_grid(call), dim3(sum_threads), 0, cast(context).stream, call,
                     run_of(call));
  } else {
    CONVSWEEP_LAUNCH(batch_norm_eval_kernel, element_grid(call.lanes, call.shape.in.size() * call.n),
                     dim3(element_threads), 0, cast(context).stream, call, run_of(call));
  }
}

void batch_norm_backward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(batch_norm_backward_kernel, channel_grid(call), dim3(sum_threads), 0, cast(context).stream, call,
                   run_of(call));
}

std::size_t batch_norm_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
