// From a lane's hyperparameters and position to the numbers its next step uses.
//
// Guarantees: pure functions of their arguments, the same bytes on every machine.
#pragma once

#include <cstdint>

#include "convsweep/recipe.h"

namespace convsweep {

// The lane's value, or `otherwise` where it has none.
double value_or(const Hyperparameters& values, Hyper which, double otherwise);

// The factor on the learning rate at batch `batch` of `batches` in epoch `epoch` (from 0). See native/recipe.ts. The
// lane's own schedule_factor, _floor and _warmup take the place of the schedule's.
double schedule_factor(const Schedule& schedule, const Hyperparameters& values, int epochs, int epoch, int batch,
                       int batches);

// What a lane's training images go through: the recipe's augmentation with the lane's own values in their places.
AugmentScalars augment_scalars(const Augmentation& augmentation, const Hyperparameters& values);

// `learning_rate` has the factor in it already; `step` is the number of optimiser steps done before.
UpdateScalars update_scalars(const Hyperparameters& values, bool decoupled_decay, double learning_rate,
                             std::uint32_t step);

}  // namespace convsweep
