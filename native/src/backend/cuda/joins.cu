// How values are joined: y = a + b, y = a. Elementwise; y may be the memory of a or b.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

__global__ void __launch_bounds__(element_threads)
    add_kernel(LaneSet lanes, Lanes<const float> a, Lanes<const float> b, Lanes<float> y, std::int64_t count) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes))
    y[lane][i] = a[lane][i] + b[lane][i];
}

__global__ void __launch_bounds__(element_threads)
    copy_kernel(LaneSet lanes, Lanes<const float> a, Lanes<float> y, std::int64_t count) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) y[lane][i] = a[lane][i];
}

}  // namespace

void add(ExecutionContext& context, const JoinCall& call) {
  if (call.count == 0) return;
  CONVSWEEP_LAUNCH(add_kernel, element_grid(call.lanes, call.count), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.a, call.b, call.y, call.count);
}

void copy(ExecutionContext& context, const JoinCall& call) {
  if (call.count == 0) return;
  CONVSWEEP_LAUNCH(copy_kernel, element_grid(call.lanes, call.count), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.a, call.y, call.count);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
