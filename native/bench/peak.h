// The multiply-adds a core can do: independent chains of them in registers, nothing else.
//
// Needs no compiler flags: each function asks for its instruction set itself and is only called where the processor has
// it.
#pragma once

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "backend/cpu/kernels.h"

namespace convsweep::bench {

inline constexpr int kRounds = 1000000;
inline volatile float sink;

#if defined(__x86_64__)
// Twice as many chains as two ports of four cycles' latency need.
__attribute__((target("avx512f"), noinline)) inline void chains512() {
  __m512 a[16];
  const __m512 x = _mm512_set1_ps(0.999F), y = _mm512_set1_ps(1e-6F);
  for (int i = 0; i < 16; ++i) a[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int k = 0; k < kRounds; ++k) {
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = _mm512_fmadd_ps(a[i], x, y);
  }
  for (int i = 1; i < 16; ++i) a[0] = _mm512_add_ps(a[0], a[i]);
  sink = _mm512_cvtss_f32(a[0]);
}

__attribute__((target("avx2,fma"), noinline)) inline void chains256() {
  __m256 a[12];
  const __m256 x = _mm256_set1_ps(0.999F), y = _mm256_set1_ps(1e-6F);
  for (int i = 0; i < 12; ++i) a[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int k = 0; k < kRounds; ++k) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; ++i) a[i] = _mm256_fmadd_ps(a[i], x, y);
  }
  for (int i = 1; i < 12; ++i) a[0] = _mm256_add_ps(a[0], a[i]);
  sink = _mm256_cvtss_f32(a[0]);
}
#endif

// One exact fma after another, as the scalar kernels do them.
__attribute__((noinline)) inline void chains1() {
  float a[8];
  for (int i = 0; i < 8; ++i) a[i] = static_cast<float>(i);
  for (int k = 0; k < kRounds; ++k) {
    for (int i = 0; i < 8; ++i) a[i] = __builtin_fmaf(a[i], 0.999F, 1e-6F);
  }
  for (int i = 1; i < 8; ++i) a[0] += a[i];
  sink = a[0];
}

// Single-precision multiply-adds of one run_multiply_adds().
inline double peak_multiply_adds(cpu::Isa isa) {
  switch (isa) {
    case cpu::Isa::avx512:
      return 16.0 * 16 * kRounds;
    case cpu::Isa::avx2:
      return 12.0 * 8 * kRounds;
    default:
      return 8.0 * kRounds;
  }
}

inline void run_multiply_adds(cpu::Isa isa) {
#if defined(__x86_64__)
  if (isa == cpu::Isa::avx512) return chains512();
  if (isa == cpu::Isa::avx2) return chains256();
#endif
  (void)isa;
  chains1();
}

}  // namespace convsweep::bench
