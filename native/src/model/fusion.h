// Neighbouring layers become one call, where the backend can do them so (Backend::fuses).
//
// Guarantees: the bytes of every result stay those of the layers one after another (Fusion, in convsweep/ops.h, says what
// a call does); a layer is absorbed only where nothing else reads what lies between. That needs no memory any more.
#pragma once

#include "model/passes.h"

namespace convsweep {

void fuse_layers(Passes& passes, const Graph& graph);

}  // namespace convsweep
