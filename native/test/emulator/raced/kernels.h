// The entries of the copies that are watched for races.
#pragma once

#include "convsweep/backend.h"

namespace convsweep {
namespace raced {
const OpTable& op_table();
}
namespace raced_missing_barrier {
void linear_forward(ExecutionContext& context, const LayerCall& call);
}
namespace raced_between_warps {
void batch_norm_forward(ExecutionContext& context, const LayerCall& call);
}
// Small kernels with one mistake each, or none.
namespace raced_probe {
// Thread 1 reads what thread 0 wrote: after a barrier of the block, of the warp, or after nothing ('b', 'w', 'n'). With
// `across` it is thread 32 that reads.
void hand_over(char after, bool across);
// All threads write the same value to the same byte.
void same_value();
// Each thread writes bytes of its own, next to its neighbours'.
void neighbours();
// Every block writes its own element, or all the same one.
void blocks(bool same);
}  // namespace raced_probe
}  // namespace convsweep
