// Sixteen floats as one AVX-512 register. Include from kernels_avx512.cpp only.
//
// Guarantees: the operations of vec_scalar.h, with the same bytes out of the same bytes in (a NaN's payload excepted).
#pragma once

#include <immintrin.h>

#include <cstdint>

#define CONVSWEEP_INLINE inline __attribute__((always_inline))

namespace convsweep::cpu::CONVSWEEP_ISA {

struct Mask {
  __mmask16 m;
};
CONVSWEEP_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.m | b.m)}; }
CONVSWEEP_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.m & b.m)}; }
CONVSWEEP_INLINE Mask first_lanes(int count) {
  return {static_cast<__mmask16>((1U << static_cast<unsigned>(count)) - 1U)};
}
CONVSWEEP_INLINE bool any(Mask a) { return a.m != 0; }

struct Int {
  __m512i v;
  static CONVSWEEP_INLINE Int of(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
  static CONVSWEEP_INLINE Int iota() {
    return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
  }
};
CONVSWEEP_INLINE Int operator+(Int a, Int b) { return {_mm512_add_epi32(a.v, b.v)}; }
CONVSWEEP_INLINE Int operator-(Int a, Int b) { return {_mm512_sub_epi32(a.v, b.v)}; }
CONVSWEEP_INLINE Int operator&(Int a, Int b) { return {_mm512_and_si512(a.v, b.v)}; }
CONVSWEEP_INLINE Int operator|(Int a, Int b) { return {_mm512_or_si512(a.v, b.v)}; }
CONVSWEEP_INLINE Int shift_left(Int a, int bits) { return {_mm512_slli_epi32(a.v, static_cast<unsigned>(bits))}; }
CONVSWEEP_INLINE Int shift_right(Int a, int bits) { return {_mm512_srai_epi32(a.v, static_cast<unsigned>(bits))}; }
CONVSWEEP_INLINE Mask less(Int a, Int b) { return {_mm512_cmplt_epi32_mask(a.v, b.v)}; }
CONVSWEEP_INLINE Mask below_unsigned(Int a, Int b) { return {_mm512_cmplt_epu32_mask(a.v, b.v)}; }
CONVSWEEP_INLINE Mask equal(Int a, Int b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
CONVSWEEP_INLINE Int select(Mask m, Int a, Int b) { return {_mm512_mask_blend_epi32(m.m, b.v, a.v)}; }
CONVSWEEP_INLINE Int load_int(const std::int32_t* p, Mask m) { return {_mm512_maskz_loadu_epi32(m.m, p)}; }
CONVSWEEP_INLINE Int load_u16(const std::uint16_t* p, Mask m) {
  return {_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(m.m, p))};
}
CONVSWEEP_INLINE void store_u16(std::uint16_t* p, Int a, Mask m) {
  _mm256_mask_storeu_epi16(p, m.m, _mm512_cvtepi32_epi16(a.v));
}

struct Vec {
  __m512 v;
  using Bits = Int;
  static CONVSWEEP_INLINE Vec of(float x) { return {_mm512_set1_ps(x)}; }
  static CONVSWEEP_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
};
CONVSWEEP_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
CONVSWEEP_INLINE Vec load(const float* p, Mask m) { return {_mm512_maskz_loadu_ps(m.m, p)}; }
CONVSWEEP_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
CONVSWEEP_INLINE void store(float* p, Vec a, Mask m) { _mm512_mask_storeu_ps(p, m.m, a.v); }
// Code that has registers for less than a Vec works on parts; here a part is all of it.
using Part = Vec;
inline constexpr int kPartLanes = 16;
CONVSWEEP_INLINE Part load_part(const float* p) { return load(p); }
CONVSWEEP_INLINE Part load_part(const float* p, int lanes) { return load(p, first_lanes(lanes)); }
CONVSWEEP_INLINE void store_part(float* p, Part a) { store(p, a); }

CONVSWEEP_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
CONVSWEEP_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
CONVSWEEP_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
CONVSWEEP_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
CONVSWEEP_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
CONVSWEEP_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
CONVSWEEP_INLINE Mask less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
CONVSWEEP_INLINE Mask is_nan(Vec a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
CONVSWEEP_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.m, b.v, a.v)}; }
CONVSWEEP_INLINE Vec lower(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
CONVSWEEP_INLINE Vec upper(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
// math::scaled in one instruction.
CONVSWEEP_INLINE Vec scaled(Vec p, Vec n, Int) { return {_mm512_scalef_ps(p.v, n.v)}; }
CONVSWEEP_INLINE Int bits(Vec a) { return {_mm512_castps_si512(a.v)}; }
CONVSWEEP_INLINE Vec from_bits(Int a) { return {_mm512_castsi512_ps(a.v)}; }

// p[i] += p[i + 8], then + 4, + 2, + 1.
CONVSWEEP_INLINE float sum16(Vec a) {
  const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(a.v), 1));
  const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// Sixteen bytes, 0 to 255 each, as floats.
CONVSWEEP_INLINE Vec load_bytes(const std::uint8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}

// to[w][i] = from[i][w] for 16 images and 16 pixels.
CONVSWEEP_INLINE void transpose_bytes(const std::uint8_t* const* from, std::uint8_t* to) {
  __m128i a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from[i]));
    // Four rounds of pairing rows i and i + 8: the index of a byte turns from (image, pixel) to (pixel, image) bit by
    // bit.
#pragma GCC unroll 4
  for (int round = 0; round < 4; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = _mm_unpacklo_epi8(a[i], a[i + 8]);
      b[2 * i + 1] = _mm_unpackhi_epi8(a[i], a[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) a[i] = b[i];
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 16 * i), a[i]);
}

// Rows of a 16 x 4 block to four vectors: out[j] lane i = p[i * stride + j].
CONVSWEEP_INLINE void load_transposed(const float* p, std::int64_t stride, Vec out[4]) {
  __m512 g[4];
  for (int j = 0; j < 4; ++j) {
    const float* q = p + j * stride;
    __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(q));
    x = _mm512_insertf32x4(x, _mm_loadu_ps(q + 4 * stride), 1);
    x = _mm512_insertf32x4(x, _mm_loadu_ps(q + 8 * stride), 2);
    g[j] = _mm512_insertf32x4(x, _mm_loadu_ps(q + 12 * stride), 3);
  }
  const __m512 a = _mm512_unpacklo_ps(g[0], g[1]), b = _mm512_unpackhi_ps(g[0], g[1]);
  const __m512 c = _mm512_unpacklo_ps(g[2], g[3]), d = _mm512_unpackhi_ps(g[2], g[3]);
  out[0].v = _mm512_shuffle_ps(a, c, 0x44);
  out[1].v = _mm512_shuffle_ps(a, c, 0xEE);
  out[2].v = _mm512_shuffle_ps(b, d, 0x44);
  out[3].v = _mm512_shuffle_ps(b, d, 0xEE);
}

// to[k * to_stride + i] = p[i * stride + k] for 16 x 16 floats.
CONVSWEEP_INLINE void transpose16(const float* p, std::int64_t stride, float* to, std::int64_t to_stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_ps(p + i * stride);
  // Pairs of rows, then fours: each 128-bit quarter of b[4 g + j] holds column 4 quarter + j of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const __m512 s = _mm512_unpacklo_ps(a[4 * g], a[4 * g + 1]), t = _mm512_unpackhi_ps(a[4 * g], a[4 * g + 1]);
    const __m512 u = _mm512_unpacklo_ps(a[4 * g + 2], a[4 * g + 3]), v = _mm512_unpackhi_ps(a[4 * g + 2], a[4 * g + 3]);
    b[4 * g] = _mm512_shuffle_ps(s, u, 0x44);
    b[4 * g + 1] = _mm512_shuffle_ps(s, u, 0xEE);
    b[4 * g + 2] = _mm512_shuffle_ps(t, v, 0x44);
    b[4 * g + 3] = _mm512_shuffle_ps(t, v, 0xEE);
  }
  // Quarters to their places.
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const __m512 low = _mm512_shuffle_f32x4(b[j], b[4 + j], 0x88), high = _mm512_shuffle_f32x4(b[j], b[4 + j], 0xDD);
    const __m512 low2 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0x88);
    const __m512 high2 = _mm512_shuffle_f32x4(b[8 + j], b[12 + j], 0xDD);
    _mm512_storeu_ps(to + j * to_stride, _mm512_shuffle_f32x4(low, low2, 0x88));
    _mm512_storeu_ps(to + (4 + j) * to_stride, _mm512_shuffle_f32x4(high, high2, 0x88));
    _mm512_storeu_ps(to + (8 + j) * to_stride, _mm512_shuffle_f32x4(low, low2, 0xDD));
    _mm512_storeu_ps(to + (12 + j) * to_stride, _mm512_shuffle_f32x4(high, high2, 0xDD));
  }
}

// Philox4x32-10 of blocks first .. first + 15. words[q] holds the draws of elements 4 * first + 16 q .. + 15.
CONVSWEEP_INLINE void philox16(std::uint32_t first, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3,
                               std::uint64_t key, Int words[4]) {
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i low = _mm512_set1_epi64(0xFFFFFFFF);
  for (int half = 0; half < 2; ++half) {
    // One block a 64-bit lane, so that a product keeps its upper half; what stands above bit 31 of a word is ignored.
    const std::uint32_t base = first + 8U * static_cast<std::uint32_t>(half);
    __m512i x0 = _mm512_add_epi32(_mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7), _mm512_set1_epi64(base));
    __m512i x1 = _mm512_set1_epi64(c1), x2 = _mm512_set1_epi64(c2), x3 = _mm512_set1_epi64(c3);
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const __m512i p0 = _mm512_mul_epu32(x0, m0), p1 = _mm512_mul_epu32(x2, m1);
      x0 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), x1, _mm512_set1_epi64(k0), 0x96);
      x1 = p1;
      x2 = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), x3, _mm512_set1_epi64(k1), 0x96);
      x3 = p0;
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    // 64-bit pairs (w0, w1) and (w2, w3) of each block, then the pairs in order.
    const __m512i w01 = _mm512_or_si512(_mm512_and_si512(x0, low), _mm512_slli_epi64(x1, 32));
    const __m512i w23 = _mm512_or_si512(_mm512_and_si512(x2, low), _mm512_slli_epi64(x3, 32));
    words[2 * half].v = _mm512_permutex2var_epi64(w01, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), w23);
    words[2 * half + 1].v = _mm512_permutex2var_epi64(w01, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), w23);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
