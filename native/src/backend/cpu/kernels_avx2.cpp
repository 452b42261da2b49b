// The kernels for AVX2 with FMA. See kernels.cmake for the flags.
#define CONVSWEEP_ISA isa_avx2

#include "vec_avx2.h"

// After the vectors it is made of.
#include "kernels_impl.h"

namespace convsweep::cpu {

extern const KernelTable kTable_avx2;
constinit const KernelTable kTable_avx2 = CONVSWEEP_ISA::make_table(Isa::avx2, "avx2");

}  // namespace convsweep::cpu
