// linear: a tiled matrix product a lane, lanes on blockIdx.z.
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr int tile = 16;

// Block (bx, by, lane): outputs by * 16 .. + 15 for images bx * 16 .. + 15. Both tiles are read along their contiguous
// axis: weights along the inputs, x along the images.
__global__ void __launch_bounds__(tile* tile)
    linear_forward_kernel(LaneSet lanes, Lanes<const float> x, Lanes<const float> weight, Lanes<const float> bias,
                          Lanes<float> y, int inputs, int outputs, int n) {
  __shared__ float weights[tile][tile];
  __shared__ float images[tile][tile];
  const int lane = lanes[static_cast<int>(blockIdx.z)];
  const int tx = static_cast<int>(threadIdx.x), ty = static_cast<int>(threadIdx.y);
  const int output = static_cast<int>(blockIdx.y) * tile + ty;
  const int image = static_cast<int>(blockIdx.x) * tile + tx;
  const float* const lane_weight = weight[lane];
  const float* const lane_x = x[lane];
  if constexpr (planted == Fault::early_return) {
    if (output >= outputs || image >= n) return;
  }

  float sum = 0;
  for (int first = 0; first < inputs; first += tile) {
    const int depth = inputs - first < tile ? inputs - first : tile;
    weights[ty][tx] = output < outputs && tx < depth ? lane_weight[std::int64_t{output} * inputs + first + tx] : 0.0F;
    images[ty][tx] = ty < depth && image < n ? lane_x[std::int64_t{first + ty} * n + image] : 0.0F;
    __syncthreads();
    for (int k = 0; k < depth; ++k) sum = ::fmaf(weights[ty][k], images[k][tx], sum);
    // No thread may overwrite a tile that another still reads.
    if constexpr (planted != Fault::missing_barrier) __syncthreads();
  }
  if (output < outputs && image < n) {
    y[lane][std::int64_t{output} * n + image] = bias.base != nullptr ? sum + bias[lane][output] : sum;
  }
}

}  // namespace

void linear_forward(ExecutionContext& context, const LayerCall& call) {
  const int outputs = call.shape.out.channels;
  const auto blocks = [](int extent) { return static_cast<unsigned>((extent + tile - 1) / tile); };
  CONVSWEEP_LAUNCH(linear_forward_kernel,
                   dim3(blocks(call.n), blocks(outputs), static_cast<unsigned>(call.lanes.count)), dim3(tile, tile), 0,
                   cast(context).stream, call.lanes, call.x, call.weight,
                   call.shape.bias ? call.bias : Lanes<const float>{}, call.y, call.shape.in.channels, outputs, call.n);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
