// embedding: rows of a table by number. Bytes as on the CPU.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "ops/index.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

__global__ void __launch_bounds__(element_threads)
    embedding_forward_kernel(LaneSet lanes, int vocabulary, int units, std::int64_t positions, Lanes<const float> ids,
                             Lanes<const float> weight, Lanes<float> y) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < units * positions; i += element_stride(lanes)) {
    const std::int64_t row = embedding_row(ids[lane][i % positions], vocabulary);
    y[lane][i] = weight[lane][row * units + i / positions];
  }
}

// A thread an element of the table, which adds up what the positions of its row give it, in ascending order. Threads of
// a warp have neighbouring rows, so they read the same positions at once.
__global__ void __launch_bounds__(element_threads)
    embedding_backward_kernel(LaneSet lanes, int vocabulary, int units, std::int64_t positions, Lanes<const float> ids,
                              Lanes<const float> dy, Lanes<float> dweight) {
  const int lane = element_lane(lanes);
  const std::int64_t count = std::int64_t{vocabulary} * units;
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) {
    const int row = static_cast<int>(i % vocabulary);
    const std::int64_t unit = i / vocabulary;
    float sum = 0;
    for (std::int64_t p = 0; p < positions; ++p) {
      if (embedding_row(ids[lane][p], vocabulary) == row) sum = sum + dy[lane][unit * positions + p];
    }
    dweight[lane][row * std::int64_t{units} + unit] = sum;
  }
}

// Nothing depends smoothly on a number.
__global__ void __launch_bounds__(element_threads) zero_kernel(LaneSet lanes, Lanes<float> to, std::int64_t count) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) to[lane][i] = 0.0F;
}

std::int64_t positions_of(const LayerCall& call) { return call.shape.in.size() * call.n; }

}  // namespace

void embedding_forward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape& s = call.shape;
  CONVSWEEP_LAUNCH(embedding_forward_kernel, element_grid(call.lanes, s.out.channels * positions_of(call)),
                   dim3(element_threads), 0, cast(context).stream, call.lanes, s.vocabulary, s.out.channels,
                   positions_of(call), call.x, call.weight, call.y);
}

void embedding_backward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape& s = call.shape;
  CONVSWEEP_LAUNCH(embedding_backward_kernel, element_grid(call.lanes, std::int64_t{s.vocabulary} * s.out.channels),
                   dim3(element_threads), 0, cast(context).stream, call.lanes, s.vocabulary, s.out.channels,
                   positions_of(call), call.x, call.dy, call.dweight);
  if (!call.dx) return;
  CONVSWEEP_LAUNCH(zero_kernel, element_grid(call.lanes, positions_of(call)), dim3(element_threads), 0,
                   cast(context).stream, call.lanes, call.dx, positions_of(call));
}

std::size_t embedding_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
