// The table of operations that a backend for CUDA devices hands out.
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr OpTable table = {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  .name = {name##_forward, name##_backward, name##_scratch_bytes},
#define CONVSWEEP_LOSS_OP(name) .name = CONVSWEEP_CUDA_NAMESPACE::name,
#define CONVSWEEP_UPDATE_OP(name, state) .name = update_##name,
#include "ops/ops.def"
    .add = CONVSWEEP_CUDA_NAMESPACE::add,
    .copy = CONVSWEEP_CUDA_NAMESPACE::copy,
    .gather = CONVSWEEP_CUDA_NAMESPACE::gather,
    .draw_normal = CONVSWEEP_CUDA_NAMESPACE::draw_normal,
    .one_hot = CONVSWEEP_CUDA_NAMESPACE::one_hot,
    .check_finite = CONVSWEEP_CUDA_NAMESPACE::check_finite,
    .matmul_scratch_bytes = CONVSWEEP_CUDA_NAMESPACE::matmul_scratch_bytes,
    .matmul = CONVSWEEP_CUDA_NAMESPACE::matmul,
    .shortest_paths_scratch_bytes = CONVSWEEP_CUDA_NAMESPACE::shortest_paths_scratch_bytes,
    .shortest_paths = CONVSWEEP_CUDA_NAMESPACE::shortest_paths};
CONVSWEEP_ASSERT_COMPLETE(table, "the CUDA backend lacks an operation of ops.def");

}  // namespace

const OpTable& op_table() { return table; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
