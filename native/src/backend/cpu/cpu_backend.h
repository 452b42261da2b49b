// The CPU backend: the glue between the engine's operations and the vector kernels of one instruction set.
//
// Guarantees: the same bytes for every instruction set and every number of threads (kernels.h promises it; this file
// adds no arithmetic of its own).
#pragma once

#include <memory>

#include "backend/cpu/kernels.h"
#include "convsweep/backend.h"

namespace convsweep {

// `kernels` must be a table that this processor can run.
std::unique_ptr<Backend> make_cpu_backend(const cpu::KernelTable& kernels);

}  // namespace convsweep
