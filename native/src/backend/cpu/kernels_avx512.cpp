// The kernels for AVX-512 F, DQ, BW, VL. See kernels.cmake for the flags.
#define CONVSWEEP_ISA isa_avx512

#include "vec_avx512.h"

// After the vectors it is made of.
#include "kernels_impl.h"

namespace convsweep::cpu {

extern const KernelTable kTable_avx512;
constinit const KernelTable kTable_avx512 = CONVSWEEP_ISA::make_table(Isa::avx512, "avx512");

}  // namespace convsweep::cpu
