// The entries of the copies with a planted fault (planted_*.cpp).
#pragma once

#include "backend/cuda/kernels.h"

namespace convsweep {
namespace emulated_missing_barrier {
void linear_forward(ExecutionContext& context, const LayerCall& call);
void softmax_cross_entropy(ExecutionContext& context, const LossCall& call);
}  // namespace emulated_missing_barrier
namespace emulated_early_return {
void linear_forward(ExecutionContext& context, const LayerCall& call);
}  // namespace emulated_early_return
namespace emulated_unguarded_tail {
void relu_forward(ExecutionContext& context, const LayerCall& call);
void relu_backward(ExecutionContext& context, const LayerCall& call);
}  // namespace emulated_unguarded_tail
namespace emulated_wrong_index {
void gather(ExecutionContext& context, const GatherCall& call);
}  // namespace emulated_wrong_index
}  // namespace convsweep
