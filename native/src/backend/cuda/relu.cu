// relu, forward and backward: elementwise, lanes on blockIdx.y, each block striding over its lane's elements.
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr int threads = 256;
// Enough to fill a large device with one lane; more lanes bring blocks of their own.
constexpr std::int64_t most_blocks = 1024;

__device__ inline std::int64_t first_element() {
  return std::int64_t{blockIdx.x} * threads + static_cast<int>(threadIdx.x);
}
__device__ inline std::int64_t stride() { return std::int64_t{gridDim.x} * threads; }

__device__ inline std::int64_t bound(std::int64_t count) {
  return planted == Fault::unguarded_tail ? (count + threads - 1) / threads * threads : count;
}

__global__ void __launch_bounds__(threads)
    relu_forward_kernel(LaneSet lanes, Lanes<const float> x, Lanes<float> y, std::int64_t count) {
  const int lane = lanes[static_cast<int>(blockIdx.y)];
  for (std::int64_t i = first_element(); i < bound(count); i += stride()) {
    const float value = x[lane][i];
    y[lane][i] = value < 0.0F ? 0.0F : value;
  }
}

__global__ void __launch_bounds__(threads)
    relu_backward_kernel(LaneSet lanes, Lanes<const float> y, Lanes<const float> dy, Lanes<float> dx,
                         std::int64_t count) {
  const int lane = lanes[static_cast<int>(blockIdx.y)];
  for (std::int64_t i = first_element(); i < bound(count); i += stride()) {
    dx[lane][i] = y[lane][i] > 0.0F ? dy[lane][i] : 0.0F;
  }
}

dim3 grid(const LayerCall& call, std::int64_t count) {
  const std::int64_t blocks = (count + threads - 1) / threads;
  return dim3(static_cast<unsigned>(blocks < most_blocks ? blocks : most_blocks),
              static_cast<unsigned>(call.lanes.count));
}

}  // namespace

void relu_forward(ExecutionContext& context, const LayerCall& call) {
  const std::int64_t count = call.shape.in.size() * call.n;
  CONVSWEEP_LAUNCH(relu_forward_kernel, grid(call, count), dim3(threads), 0, cast(context).stream, call.lanes, call.x,
                   call.y, count);
}

void relu_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  const std::int64_t count = call.shape.in.size() * call.n;
  CONVSWEEP_LAUNCH(relu_backward_kernel, grid(call, count), dim3(threads), 0, cast(context).stream, call.lanes,
                   Lanes<const float>(call.y), call.dy, call.dx, count);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
