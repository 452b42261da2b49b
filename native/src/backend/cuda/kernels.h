// The operations as CUDA launches them: entries of an OpTable (convsweep/backend.h), and that table.
//
// Guarantees: one launch covers all lanes of the call. Each output is one fixed sequence of operations that does not
// depend on the number of lanes, on a lane's place among them or on the order in which threads run; no atomics. Kernels
// read and write only what convsweep/ops.h describes. All work of a call is put into its context's stream, and only
// shortest_paths waits for it.
//
// Bytes: activations, dropout, pools, embedding, joins, updates, gather, inputs, linear forward, matmul and the layers
// that only move values give the CPU's; the others agree within the tolerance of their cases, because sums are cut up
// differently.
//
// Not here: memory, streams and graphs (cuda_backend.h).
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  void name##_forward(ExecutionContext& context, const LayerCall& call);       \
  void name##_backward(ExecutionContext& context, const LayerCall& call);      \
  std::size_t name##_scratch_bytes(const LayerShape& shape, int n, int width);
#define CONVSWEEP_LOSS_OP(name) void name(ExecutionContext& context, const LossCall& call);
#define CONVSWEEP_UPDATE_OP(name, state) void update_##name(ExecutionContext& context, const UpdateCall& call);
#include "ops/ops.def"
void add(ExecutionContext& context, const JoinCall& call);
void copy(ExecutionContext& context, const JoinCall& call);
void gather(ExecutionContext& context, const GatherCall& call);
void draw_normal(ExecutionContext& context, const NormalCall& call);
void one_hot(ExecutionContext& context, const OneHotCall& call);
void check_finite(ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite);
std::size_t matmul_scratch_bytes(const MatmulShape& shape, int width);
void matmul(ExecutionContext& context, const MatmulCall& call);
std::size_t shortest_paths_scratch_bytes(int vertices, bool with_next, int width);
void shortest_paths(ExecutionContext& context, ShortestPathsCall& call);

// All of them, for a backend. The functions take a CudaContext.
const OpTable& op_table();

// For layers that may leave their input where it is.
void copy_unless_same(ExecutionContext& context, LaneSet lanes, Lanes<const float> from, Lanes<float> to,
                      std::int64_t count);

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
