// The operations that have CUDA kernels, as entries of an OpTable (convsweep/backend.h).
//
// Guarantees: one launch covers all lanes of the call. Each output is one fixed sequence of operations that does not
// depend on the number of lanes, on a lane's place among them or on the order in which threads run; no atomics. Kernels
// read and write only what convsweep/ops.h describes.
//
// Not here: the other operations, memory, graphs: this version trains on the CPU (cuda_backend.h).
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

// y = weight x + bias. acc = 0; for each input in order acc = fma(weight, x, acc); then + bias: the CPU kernels' order,
// so the two agree to the bit.
void linear_forward(ExecutionContext& context, const LayerCall& call);

// y = x below zero ? 0 : x; NaN stays NaN. Elementwise, may work in place.
void relu_forward(ExecutionContext& context, const LayerCall& call);
// dx = y above zero ? dy : 0.
void relu_backward(ExecutionContext& context, const LayerCall& call);

// Loss, hits and gradient of a batch. The loss of each image is in single precision as on the CPU; their sum, in
// double, is taken in strides of the block and up a binary tree, so it differs from the CPU's in the last places of a
// double.
void softmax_cross_entropy(ExecutionContext& context, const LossCall& call);
void binary_cross_entropy(ExecutionContext& context, const LossCall& call);

// These give the CPU's bytes.
void add(ExecutionContext& context, const JoinCall& call);
void copy(ExecutionContext& context, const JoinCall& call);
#define CONVSWEEP_UPDATE_OP(name, state) void update_##name(ExecutionContext& context, const UpdateCall& call);
#include "ops/ops.def"
void gather(ExecutionContext& context, const GatherCall& call);
void draw_normal(ExecutionContext& context, const NormalCall& call);
void one_hot(ExecutionContext& context, const OneHotCall& call);
void check_finite(ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite);

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
