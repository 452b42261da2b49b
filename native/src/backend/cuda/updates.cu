// The updates of the parameters. One kernel for all of them: what a parameter becomes is a rule, in the CPU kernels'
// order of operations, so the two agree to the bit.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// What a rule sees of one parameter. `gradient` has the decay in the loss in it; `kept` is the weight after decoupled
// decay.
struct Parameter {
  float gradient, kept;
  // Null where the update keeps no such state.
  float *state0, *state1;
};

struct Sgd {
  __device__ float operator()(const UpdateScalars& s, const Parameter& p) const {
    return ::fmaf(-s.learning_rate, p.gradient, p.kept);
  }
};

struct Momentum {
  bool nesterov;
  __device__ float operator()(const UpdateScalars& s, const Parameter& p) const {
    const float velocity = ::fmaf(s.momentum, *p.state0, p.gradient);
    *p.state0 = velocity;
    return ::fmaf(-s.learning_rate, nesterov ? ::fmaf(s.momentum, velocity, p.gradient) : velocity, p.kept);
  }
};

struct Rmsprop {
  __device__ float operator()(const UpdateScalars& s, const Parameter& p) const {
    const float square = ::fmaf(s.rho, *p.state0, (1.0F - s.rho) * (p.gradient * p.gradient));
    *p.state0 = square;
    return ::fmaf(-s.learning_rate, p.gradient / (::sqrtf(square) + s.epsilon), p.kept);
  }
};

struct Adam {
  __device__ float operator()(const UpdateScalars& s, const Parameter& p) const {
    const float first = ::fmaf(s.beta1, *p.state0, (1.0F - s.beta1) * p.gradient);
    const float second = ::fmaf(s.beta2, *p.state1, (1.0F - s.beta2) * (p.gradient * p.gradient));
    *p.state0 = first;
    *p.state1 = second;
    return ::fmaf(-s.step_size, first / ::fmaf(::sqrtf(second), s.inverse_sqrt_correction2, s.epsilon), p.kept);
  }
};

// One parameter after another: the first `decayed` of a lane decay.
template <class Rule>
__global__ void __launch_bounds__(element_threads)
    update_kernel(Rule rule, LaneSet lanes, const LaneScalars* scalars, Lanes<float> weight,
                  Lanes<const float> gradient, Lanes<float> state0, Lanes<float> state1, std::int64_t count,
                  std::int64_t decayed) {
  const int lane = element_lane(lanes);
  const UpdateScalars s = scalars[lane].update;
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) {
    const float l2 = i < decayed ? s.l2 : 0.0F, keep = i < decayed ? s.keep : 1.0F;
    const float w = weight[lane][i];
    weight[lane][i] = rule(
        s, Parameter{::fmaf(l2, w, gradient[lane][i]), keep * w, state0.base != nullptr ? state0[lane] + i : nullptr,
                     state1.base != nullptr ? state1[lane] + i : nullptr});
  }
}

template <class Rule>
void update(ExecutionContext& context, const UpdateCall& call, Rule rule) {
  if (call.count == 0) return;
  CONVSWEEP_LAUNCH(update_kernel<Rule>, element_grid(call.lanes, call.count), dim3(element_threads), 0,
                   cast(context).stream, rule, call.lanes, call.scalars, call.weight, call.gradient, call.state0,
                   call.state1, call.count, call.decayed);
}

}  // namespace

void update_sgd(ExecutionContext& context, const UpdateCall& call) { update(context, call, Sgd{}); }
void update_momentum(ExecutionContext& context, const UpdateCall& call) {
  update(context, call, Momentum{call.nesterov});
}
void update_rmsprop(ExecutionContext& context, const UpdateCall& call) { update(context, call, Rmsprop{}); }
void update_adam(ExecutionContext& context, const UpdateCall& call) { update(context, call, Adam{}); }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
