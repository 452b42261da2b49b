// The kernels for no instruction beyond the baseline. See kernels.cmake for the flags.
#define CONVSWEEP_ISA isa_scalar

#include "vec_scalar.h"

// After the vectors it is made of.
#include "kernels_impl.h"

namespace convsweep::cpu {

extern const KernelTable kTable_scalar;
constinit const KernelTable kTable_scalar = CONVSWEEP_ISA::make_table(Isa::scalar, "scalar");

}  // namespace convsweep::cpu
