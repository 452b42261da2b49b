// How much scratch an operation needs whichever instruction set runs it, so that a lane's memory is laid out alike on
// all.
#pragma once

#include <algorithm>
#include <cstddef>

#include "backend/cpu/kernels.h"

namespace convsweep::cpu {

template <class Ask>
std::size_t most_scratch(const Ask& ask) {
  std::size_t most = 0;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (const KernelTable* table = kernels_for(isa)) most = std::max(most, ask(*table));
  }
  return most;
}

}  // namespace convsweep::cpu
