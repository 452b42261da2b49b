// Activations, element by element, in place or not. Bytes as on the CPU.
#include "backend/cuda/activate.h"
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

__device__ inline std::int64_t bound(std::int64_t count) {
  return planted == Fault::unguarded_tail ? (count + element_threads - 1) / element_threads * element_threads : count;
}

template <class Activation>
__global__ void __launch_bounds__(element_threads)
    activation_forward_kernel(Activation of, LaneSet lanes, Lanes<const float> x, Lanes<float> y, std::int64_t count) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < bound(count); i += element_stride(lanes)) {
    y[lane][i] = of.forward(x[lane][i]);
  }
}

template <class Activation>
__global__ void __launch_bounds__(element_threads)
    activation_backward_kernel(Activation of, LaneSet lanes, Lanes<const float> y, Lanes<const float> dy,
                               Lanes<float> dx, std::int64_t count) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < bound(count); i += element_stride(lanes)) {
    dx[lane][i] = of.backward(y[lane][i], dy[lane][i]);
  }
}

std::int64_t count_of(const LayerCall& call) { return call.shape.in.size() * call.n; }

template <class Activation>
void activate(ExecutionContext& context, const LayerCall& call, Activation of) {
  CONVSWEEP_LAUNCH(activation_forward_kernel<Activation>, element_grid(call.lanes, count_of(call)),
                   dim3(element_threads), 0, cast(context).stream, of, call.lanes, call.x, call.y, count_of(call));
}

template <class Activation>
void differentiate(ExecutionContext& context, const LayerCall& call, Activation of) {
  if (!call.dx) return;
  CONVSWEEP_LAUNCH(activation_backward_kernel<Activation>, element_grid(call.lanes, count_of(call)),
                   dim3(element_threads), 0, cast(context).stream, of, call.lanes, Lanes<const float>(call.y), call.dy,
                   call.dx, count_of(call));
}

}  // namespace

#define CONVSWEEP_ACTIVATION(name, activation)                                                                         \
  void name##_forward(ExecutionContext& context, const LayerCall& call) { activate(context, call, activation); }       \
  void name##_backward(ExecutionContext& context, const LayerCall& call) { differentiate(context, call, activation); } \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_ACTIVATION(relu, Relu{})
CONVSWEEP_ACTIVATION(leaky_relu, LeakyRelu{call.shape.slope})
CONVSWEEP_ACTIVATION(tanh, Tanh{})
CONVSWEEP_ACTIVATION(sigmoid, Sigmoid{})
#undef CONVSWEEP_ACTIVATION

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
