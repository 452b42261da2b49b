// What goes into networks beside images, for backends whose memory is the host's: draws and labels as planes.
//
// Guarantees: scalar code in a fixed order, so the bytes are the same on every processor.
#pragma once

#include "convsweep/backend.h"

namespace convsweep {

void host_draw_normal(ExecutionContext& context, const NormalCall& call);
void host_one_hot(ExecutionContext& context, const OneHotCall& call);

}  // namespace convsweep
