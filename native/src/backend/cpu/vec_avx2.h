// Sixteen floats as two AVX2 registers. Include from kernels_avx2.cpp only.
//
// Guarantees: the operations of vec_scalar.h, with the same bytes out of the same bytes in (a NaN's payload excepted).
#pragma once

#include <immintrin.h>

#include <cstdint>

#define CONVSWEEP_INLINE inline __attribute__((always_inline))

namespace convsweep::cpu::CONVSWEEP_ISA {

// All bits of a lane set, or none.
struct Mask {
  __m256i lo, hi;
};
CONVSWEEP_INLINE Mask operator|(Mask a, Mask b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
CONVSWEEP_INLINE Mask operator&(Mask a, Mask b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
CONVSWEEP_INLINE Mask first_lanes(int count) {
  const __m256i n = _mm256_set1_epi32(count);
  return {_mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(n, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
CONVSWEEP_INLINE bool any(Mask a) { return _mm256_movemask_epi8(_mm256_or_si256(a.lo, a.hi)) != 0; }

struct Int {
  __m256i lo, hi;
  static CONVSWEEP_INLINE Int of(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
  static CONVSWEEP_INLINE Int iota() {
    return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
  }
};
CONVSWEEP_INLINE Int operator+(Int a, Int b) { return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int operator-(Int a, Int b) { return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int operator&(Int a, Int b) { return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int operator|(Int a, Int b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int shift_left(Int a, int bits) {
  return {_mm256_slli_epi32(a.lo, bits), _mm256_slli_epi32(a.hi, bits)};
}
CONVSWEEP_INLINE Int shift_right(Int a, int bits) {
  return {_mm256_srai_epi32(a.lo, bits), _mm256_srai_epi32(a.hi, bits)};
}
CONVSWEEP_INLINE Mask less(Int a, Int b) { return {_mm256_cmpgt_epi32(b.lo, a.lo), _mm256_cmpgt_epi32(b.hi, a.hi)}; }
CONVSWEEP_INLINE Mask below_unsigned(Int a, Int b) {
  const Int flip = Int::of(INT32_MIN);
  return less(Int{_mm256_xor_si256(a.lo, flip.lo), _mm256_xor_si256(a.hi, flip.hi)},
              Int{_mm256_xor_si256(b.lo, flip.lo), _mm256_xor_si256(b.hi, flip.hi)});
}
CONVSWEEP_INLINE Mask equal(Int a, Int b) { return {_mm256_cmpeq_epi32(a.lo, b.lo), _mm256_cmpeq_epi32(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int select(Mask m, Int a, Int b) {
  return {_mm256_blendv_epi8(b.lo, a.lo, m.lo), _mm256_blendv_epi8(b.hi, a.hi, m.hi)};
}
CONVSWEEP_INLINE Int load_int(const std::int32_t* p, Mask m) {
  return {_mm256_maskload_epi32(p, m.lo), _mm256_maskload_epi32(p + 8, m.hi)};
}
// There is no masked 16-bit access: whole vectors go at once, a tail lane by lane.
CONVSWEEP_INLINE int mask_bits(Mask m) {
  return _mm256_movemask_ps(_mm256_castsi256_ps(m.lo)) | (_mm256_movemask_ps(_mm256_castsi256_ps(m.hi)) << 8);
}
CONVSWEEP_INLINE Int load_u16(const std::uint16_t* p, Mask m) {
  const int b = mask_bits(m);
  if (b == 0xFFFF) {
    return {_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
            _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
  }
  alignas(32) std::int32_t t[16];
  for (int i = 0; i < 16; ++i) t[i] = ((b >> i) & 1) != 0 ? p[i] : 0;
  return {_mm256_load_si256(reinterpret_cast<const __m256i*>(t)),
          _mm256_load_si256(reinterpret_cast<const __m256i*>(t + 8))};
}
CONVSWEEP_INLINE void store_u16(std::uint16_t* p, Int a, Mask m) {
  const int b = mask_bits(m);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(a.lo, a.hi), 0xD8);
  if (b == 0xFFFF) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), packed);
    return;
  }
  alignas(32) std::uint16_t t[16];
  _mm256_store_si256(reinterpret_cast<__m256i*>(t), packed);
  for (int i = 0; i < 16; ++i) {
    if (((b >> i) & 1) != 0) p[i] = t[i];
  }
}

struct Vec {
  __m256 lo, hi;
  using Bits = Int;
  static CONVSWEEP_INLINE Vec of(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static CONVSWEEP_INLINE Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
};
CONVSWEEP_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
CONVSWEEP_INLINE Vec load(const float* p, Mask m) {
  return {_mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi)};
}
CONVSWEEP_INLINE void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
// A masked store takes some processors (AMD's before Zen 4) a dozen cycles and more, a branch nearly nothing: masks
// repeat.
CONVSWEEP_INLINE void store_half(float* p, __m256 a, __m256i m) {
  const int lanes = _mm256_movemask_ps(_mm256_castsi256_ps(m));
  if (lanes == 0xFF) {
    _mm256_storeu_ps(p, a);
  } else if (lanes == 0x0F) {
    _mm_storeu_ps(p, _mm256_castps256_ps128(a));
  } else if (lanes != 0) {
    _mm256_maskstore_ps(p, m, a);
  }
}
CONVSWEEP_INLINE void store(float* p, Vec a, Mask m) {
  store_half(p, a.lo, m.lo);
  store_half(p + 8, a.hi, m.hi);
}
// What one register holds of a Vec, for code that has registers for no more. `lanes` of it are loaded, the others are
// 0.
struct Part {
  __m256 of;
};
inline constexpr int kPartLanes = 8;
CONVSWEEP_INLINE Part load_part(const float* p) { return {_mm256_loadu_ps(p)}; }
CONVSWEEP_INLINE Part load_part(const float* p, int lanes) { return {_mm256_maskload_ps(p, first_lanes(lanes).lo)}; }
CONVSWEEP_INLINE void store_part(float* p, Part a) { _mm256_storeu_ps(p, a.of); }
CONVSWEEP_INLINE Part fma(Part a, Part b, Part c) { return {_mm256_fmadd_ps(a.of, b.of, c.of)}; }

CONVSWEEP_INLINE Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
CONVSWEEP_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
CONVSWEEP_INLINE Mask less(Vec a, Vec b) {
  return {_mm256_castps_si256(_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
          _mm256_castps_si256(_mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ))};
}
CONVSWEEP_INLINE Mask is_nan(Vec a) {
  return {_mm256_castps_si256(_mm256_cmp_ps(a.lo, a.lo, _CMP_UNORD_Q)),
          _mm256_castps_si256(_mm256_cmp_ps(a.hi, a.hi, _CMP_UNORD_Q))};
}
CONVSWEEP_INLINE Vec select(Mask m, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(m.lo)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(m.hi))};
}
CONVSWEEP_INLINE Vec lower(Vec a, Vec b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Vec upper(Vec a, Vec b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
CONVSWEEP_INLINE Int bits(Vec a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
CONVSWEEP_INLINE Vec from_bits(Int a) { return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)}; }

// p[i] += p[i + 8], then + 4, + 2, + 1.
CONVSWEEP_INLINE float sum16(Vec a) {
  const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

// Sixteen bytes, 0 to 255 each, as floats.
CONVSWEEP_INLINE Vec load_bytes(const std::uint8_t* p) {
  const __m128i all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(all)),
          _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_unpackhi_epi64(all, all)))};
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

CONVSWEEP_INLINE void load_transposed8(const float* p, std::int64_t stride, __m256 out[4]) {
  __m256 g[4];
  for (int j = 0; j < 4; ++j) {
    const float* q = p + j * stride;
    g[j] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(q)), _mm_loadu_ps(q + 4 * stride), 1);
  }
  const __m256 a = _mm256_unpacklo_ps(g[0], g[1]), b = _mm256_unpackhi_ps(g[0], g[1]);
  const __m256 c = _mm256_unpacklo_ps(g[2], g[3]), d = _mm256_unpackhi_ps(g[2], g[3]);
  out[0] = _mm256_shuffle_ps(a, c, 0x44);
  out[1] = _mm256_shuffle_ps(a, c, 0xEE);
  out[2] = _mm256_shuffle_ps(b, d, 0x44);
  out[3] = _mm256_shuffle_ps(b, d, 0xEE);
}

// Rows of a 16 x 4 block to four vectors: out[j] lane i = p[i * stride + j].
CONVSWEEP_INLINE void load_transposed(const float* p, std::int64_t stride, Vec out[4]) {
  __m256 lo[4], hi[4];
  load_transposed8(p, stride, lo);
  load_transposed8(p + 8 * stride, stride, hi);
  for (int j = 0; j < 4; ++j) out[j] = Vec{lo[j], hi[j]};
}

// to[k * to_stride + i] = p[i * stride + k] for 16 x 16 floats.
CONVSWEEP_INLINE void transpose16(const float* p, std::int64_t stride, float* to, std::int64_t to_stride) {
  for (int k = 0; k < 16; k += 4) {
    Vec v[4];
    load_transposed(p + k, stride, v);
    for (int j = 0; j < 4; ++j) store(to + (k + j) * to_stride, v[j]);
  }
}

// Philox4x32-10 of blocks first .. first + 15. words[q] holds the draws of elements 4 * first + 16 q .. + 15.
CONVSWEEP_INLINE void philox16(std::uint32_t first, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3,
                               std::uint64_t key, Int words[4]) {
  const __m256i m0 = _mm256_set1_epi64x(0xD2511F53), m1 = _mm256_set1_epi64x(0xCD9E8D57);
  const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
  for (int q = 0; q < 4; ++q) {
    // One block a 64-bit lane, so that a product keeps its upper half; what stands above bit 31 of a word is ignored.
    const std::uint32_t base = first + 4U * static_cast<std::uint32_t>(q);
    __m256i x0 = _mm256_add_epi32(_mm256_setr_epi64x(0, 1, 2, 3), _mm256_set1_epi64x(base));
    __m256i x1 = _mm256_set1_epi64x(c1), x2 = _mm256_set1_epi64x(c2), x3 = _mm256_set1_epi64x(c3);
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const __m256i p0 = _mm256_mul_epu32(x0, m0), p1 = _mm256_mul_epu32(x2, m1);
      x0 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), x1), _mm256_set1_epi64x(k0));
      x1 = p1;
      x2 = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), x3), _mm256_set1_epi64x(k1));
      x3 = p0;
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    const __m256i w01 = _mm256_or_si256(_mm256_and_si256(x0, low), _mm256_slli_epi64(x1, 32));
    const __m256i w23 = _mm256_or_si256(_mm256_and_si256(x2, low), _mm256_slli_epi64(x3, 32));
    const __m256i even = _mm256_unpacklo_epi64(w01, w23), odd = _mm256_unpackhi_epi64(w01, w23);
    words[q].lo = _mm256_permute2x128_si256(even, odd, 0x20);
    words[q].hi = _mm256_permute2x128_si256(even, odd, 0x31);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
