// The multiply-adds a core can do: independent chains of them in registers, nothing else.
#pragma once

#include "backend/cpu/kernels.h"

namespace convsweep::bench {

// Single-precision multiply-adds of one run_multiply_adds().
double peak_multiply_adds(cpu::Isa isa);
void run_multiply_adds(cpu::Isa isa);

}  // namespace convsweep::bench
