// From a lane's hyperparameters and position to the numbers its next step uses.
//
// Guarantees: pure functions of their arguments, the same bytes on every machine.
#pragma once

#include <cstdint>

#include "convsweep/recipe.h"

namespace convsweep {

// The factor on the learning rate at batch `batch` of `batches` in epoch `epoch` (from 0). See native/recipe.ts.
double schedule_factor(const Schedule& schedule, int epochs, int epoch, int batch, int batches);

// `learning_rate` has the factor in it already; `step` is the number of optimiser steps done before.
UpdateScalars update_scalars(const Hyperparameters& values, bool decoupled_decay, double learning_rate,
                             std::uint32_t step);

}  // namespace convsweep
