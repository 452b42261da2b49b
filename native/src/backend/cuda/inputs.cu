// What goes into networks beside images: normal deviates and labels as planes. Bytes as on the CPU.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "convsweep/rng.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// A thread a value; four neighbours draw the same block.
__global__ void __launch_bounds__(element_threads) draw_normal_kernel(NormalCall call) {
  const int lane = element_lane(call.lanes);
  const LaneScalars& s = call.scalars[lane];
  const std::uint32_t step = call.purpose == Purpose::latent ? s.step : 0;
  const std::int64_t count = std::int64_t{call.count} * call.n;
  for (std::int64_t at = first_element(call.lanes); at < count; at += element_stride(call.lanes)) {
    const std::uint64_t image = call.first + static_cast<std::uint64_t>(at % call.n);
    const std::uint64_t element =
        image * static_cast<std::uint64_t>(call.count) + static_cast<std::uint64_t>(at / call.n);
    const PhiloxBlock block = draw_block(s.key, call.purpose, 0, step, static_cast<std::uint32_t>(element >> 2));
    const math::Normals pair = math::normal_pair(block.word[element & 2], block.word[(element & 2) + 1]);
    call.x[lane][at] = pair.v[element & 1];
  }
}

__global__ void __launch_bounds__(element_threads) one_hot_kernel(OneHotCall call) {
  const int lane = element_lane(call.lanes);
  const std::int64_t plane = call.plane * call.n, count = call.classes * plane;
  for (std::int64_t at = first_element(call.lanes); at < count; at += element_stride(call.lanes)) {
    call.y[lane][at] = call.labels[lane][at % call.n] == static_cast<std::int32_t>(at / plane) ? 1.0F : 0.0F;
  }
}

}  // namespace

void draw_normal(ExecutionContext& context, const NormalCall& call) {
  CONVSWEEP_LAUNCH(draw_normal_kernel, element_grid(call.lanes, std::int64_t{call.count} * call.n),
                   dim3(element_threads), 0, cast(context).stream, call);
}

void one_hot(ExecutionContext& context, const OneHotCall& call) {
  CONVSWEEP_LAUNCH(one_hot_kernel, element_grid(call.lanes, call.classes * call.plane * call.n), dim3(element_threads),
                   0, cast(context).stream, call);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
