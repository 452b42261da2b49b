// dropout, element by element, in place or not. Bytes as on the CPU.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "convsweep/rng.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// A thread takes four elements, which share a block of draws.
__global__ void __launch_bounds__(element_threads)
    dropout_kernel(LaneSet lanes, const LaneScalars* scalars, float layer_rate, std::uint32_t layer,
                   Lanes<const float> in, Lanes<float> out, std::int64_t count) {
  const int lane = element_lane(lanes);
  const LaneScalars& s = scalars[lane];
  const float rate = s.dropout != s.dropout ? layer_rate : s.dropout;
  const float scale = 1.0F / (1.0F - rate);
  const std::uint32_t threshold = dropout_threshold(rate);
  for (std::int64_t block = first_element(lanes); 4 * block < count; block += element_stride(lanes)) {
    const PhiloxBlock drawn = draw_block(s.key, Purpose::dropout, layer, s.step, static_cast<std::uint32_t>(block));
    for (int k = 0; k < 4; ++k) {
      const std::int64_t i = 4 * block + k;
      if (i < count) out[lane][i] = drawn.word[k] >= threshold ? in[lane][i] * scale : 0.0F;
    }
  }
}

std::int64_t count_of(const LayerCall& call) { return call.shape.in.size() * call.n; }

void drop(ExecutionContext& context, const LayerCall& call, Lanes<const float> in, Lanes<float> out) {
  CONVSWEEP_LAUNCH(dropout_kernel, element_grid(call.lanes, (count_of(call) + 3) / 4), dim3(element_threads), 0,
                   cast(context).stream, call.lanes, call.scalars, call.shape.rate, call.shape.layer, in, out,
                   count_of(call));
}

}  // namespace

void dropout_forward(ExecutionContext& context, const LayerCall& call) {
  if (call.training) return drop(context, call, call.x, call.y);
  copy_unless_same(context, call.lanes, call.x, call.y, count_of(call));
}

void dropout_backward(ExecutionContext& context, const LayerCall& call) {
  if (call.dx) drop(context, call, call.dy, call.dx);
}

std::size_t dropout_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
