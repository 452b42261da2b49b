// Sixteen floats as a plain array: what the other two Vec headers must do, said in standard C++.
//
// Guarantees: runs on any processor. fma is the library's exact one. Include from kernels_scalar.cpp only.
#pragma once

#include <cstdint>

#define CONVSWEEP_INLINE inline __attribute__((always_inline))

namespace convsweep::cpu::CONVSWEEP_ISA {

struct Mask {
  bool m[16];
};
struct Int {
  std::int32_t v[16];
  static CONVSWEEP_INLINE Int of(std::int32_t x) {
    Int r;
    for (int i = 0; i < 16; ++i) r.v[i] = x;
    return r;
  }
  static CONVSWEEP_INLINE Int iota() {
    Int r;
    for (int i = 0; i < 16; ++i) r.v[i] = i;
    return r;
  }
};
struct Vec {
  float v[16];
  using Bits = Int;
  static CONVSWEEP_INLINE Vec of(float x) {
    Vec r;
    for (int i = 0; i < 16; ++i) r.v[i] = x;
    return r;
  }
  static CONVSWEEP_INLINE Vec zero() { return of(0.0F); }
};

// One lane at a time.
template <class R, class F>
CONVSWEEP_INLINE R lanes(F f) {
  R r;
  for (int i = 0; i < 16; ++i) {
    if constexpr (requires { r.m; }) {
      r.m[i] = f(i);
    } else {
      r.v[i] = f(i);
    }
  }
  return r;
}
CONVSWEEP_INLINE std::uint32_t as_unsigned(std::int32_t x) { return static_cast<std::uint32_t>(x); }
CONVSWEEP_INLINE std::int32_t as_signed(std::uint32_t x) { return static_cast<std::int32_t>(x); }

CONVSWEEP_INLINE Mask operator|(Mask a, Mask b) {
  return lanes<Mask>([&](int i) { return a.m[i] || b.m[i]; });
}
CONVSWEEP_INLINE Mask operator&(Mask a, Mask b) {
  return lanes<Mask>([&](int i) { return a.m[i] && b.m[i]; });
}
CONVSWEEP_INLINE Mask first_lanes(int count) {
  return lanes<Mask>([&](int i) { return i < count; });
}
CONVSWEEP_INLINE bool any(Mask a) {
  bool r = false;
  for (int i = 0; i < 16; ++i) r = r || a.m[i];
  return r;
}

CONVSWEEP_INLINE Int operator+(Int a, Int b) {
  return lanes<Int>([&](int i) { return as_signed(as_unsigned(a.v[i]) + as_unsigned(b.v[i])); });
}
CONVSWEEP_INLINE Int operator-(Int a, Int b) {
  return lanes<Int>([&](int i) { return as_signed(as_unsigned(a.v[i]) - as_unsigned(b.v[i])); });
}
CONVSWEEP_INLINE Int operator&(Int a, Int b) {
  return lanes<Int>([&](int i) { return a.v[i] & b.v[i]; });
}
CONVSWEEP_INLINE Int operator|(Int a, Int b) {
  return lanes<Int>([&](int i) { return a.v[i] | b.v[i]; });
}
CONVSWEEP_INLINE Int shift_left(Int a, int n) {
  return lanes<Int>([&](int i) { return as_signed(as_unsigned(a.v[i]) << n); });
}
CONVSWEEP_INLINE Int shift_right(Int a, int n) {
  return lanes<Int>([&](int i) { return a.v[i] >> n; });
}
CONVSWEEP_INLINE Mask less(Int a, Int b) {
  return lanes<Mask>([&](int i) { return a.v[i] < b.v[i]; });
}
CONVSWEEP_INLINE Mask below_unsigned(Int a, Int b) {
  return lanes<Mask>([&](int i) { return as_unsigned(a.v[i]) < as_unsigned(b.v[i]); });
}
CONVSWEEP_INLINE Mask equal(Int a, Int b) {
  return lanes<Mask>([&](int i) { return a.v[i] == b.v[i]; });
}
CONVSWEEP_INLINE Int select(Mask m, Int a, Int b) {
  return lanes<Int>([&](int i) { return m.m[i] ? a.v[i] : b.v[i]; });
}
CONVSWEEP_INLINE Int load_int(const std::int32_t* p, Mask m) {
  return lanes<Int>([&](int i) { return m.m[i] ? p[i] : 0; });
}
CONVSWEEP_INLINE Int load_u16(const std::uint16_t* p, Mask m) {
  return lanes<Int>([&](int i) { return m.m[i] ? std::int32_t{p[i]} : 0; });
}
CONVSWEEP_INLINE void store_u16(std::uint16_t* p, Int a, Mask m) {
  for (int i = 0; i < 16; ++i) {
    if (m.m[i]) p[i] = static_cast<std::uint16_t>(a.v[i]);
  }
}

CONVSWEEP_INLINE Vec load(const float* p) {
  return lanes<Vec>([&](int i) { return p[i]; });
}
CONVSWEEP_INLINE Vec load(const float* p, Mask m) {
  return lanes<Vec>([&](int i) { return m.m[i] ? p[i] : 0.0F; });
}
CONVSWEEP_INLINE void store(float* p, Vec a) {
  for (int i = 0; i < 16; ++i) p[i] = a.v[i];
}
CONVSWEEP_INLINE void store(float* p, Vec a, Mask m) {
  for (int i = 0; i < 16; ++i) {
    if (m.m[i]) p[i] = a.v[i];
  }
}
// Code that has registers for less than a Vec works on parts; here a part is all of it.
using Part = Vec;
inline constexpr int kPartLanes = 16;
CONVSWEEP_INLINE Part load_part(const float* p) { return load(p); }
CONVSWEEP_INLINE Part load_part(const float* p, int lanes) { return load(p, first_lanes(lanes)); }
CONVSWEEP_INLINE void store_part(float* p, Part a) { store(p, a); }

CONVSWEEP_INLINE Vec operator+(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] + b.v[i]; });
}
CONVSWEEP_INLINE Vec operator-(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] - b.v[i]; });
}
CONVSWEEP_INLINE Vec operator*(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] * b.v[i]; });
}
CONVSWEEP_INLINE Vec operator/(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] / b.v[i]; });
}
CONVSWEEP_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return lanes<Vec>([&](int i) { return __builtin_fmaf(a.v[i], b.v[i], c.v[i]); });
}
CONVSWEEP_INLINE Vec sqrt(Vec a) {
  return lanes<Vec>([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
CONVSWEEP_INLINE Mask less(Vec a, Vec b) {
  return lanes<Mask>([&](int i) { return a.v[i] < b.v[i]; });
}
CONVSWEEP_INLINE Mask is_nan(Vec a) {
  return lanes<Mask>([&](int i) { return a.v[i] != a.v[i]; });
}
CONVSWEEP_INLINE Vec select(Mask m, Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return m.m[i] ? a.v[i] : b.v[i]; });
}
// a < b ? a : b, so b where either is a NaN; with upper the same.
CONVSWEEP_INLINE Vec lower(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
CONVSWEEP_INLINE Vec upper(Vec a, Vec b) {
  return lanes<Vec>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
CONVSWEEP_INLINE Int bits(Vec a) {
  Int r;
  __builtin_memcpy(r.v, a.v, sizeof r.v);
  return r;
}
CONVSWEEP_INLINE Vec from_bits(Int a) {
  Vec r;
  __builtin_memcpy(r.v, a.v, sizeof r.v);
  return r;
}

// p[i] += p[i + 8], then + 4, + 2, + 1.
CONVSWEEP_INLINE float sum16(Vec a) {
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) a.v[i] += a.v[i + half];
  }
  return a.v[0];
}

// Sixteen bytes, 0 to 255 each, as floats.
CONVSWEEP_INLINE Vec load_bytes(const std::uint8_t* p) {
  return lanes<Vec>([&](int i) { return static_cast<float>(p[i]); });
}

// to[w][i] = from[i][w] for 16 images and 16 pixels.
CONVSWEEP_INLINE void transpose_bytes(const std::uint8_t* const* from, std::uint8_t* to) {
  for (int i = 0; i < 16; ++i) {
    for (int w = 0; w < 16; ++w) to[16 * w + i] = from[i][w];
  }
}

// Rows of a 16 x 4 block to four vectors: out[j] lane i = p[i * stride + j].
CONVSWEEP_INLINE void load_transposed(const float* p, std::int64_t stride, Vec out[4]) {
  for (int j = 0; j < 4; ++j) {
    for (int i = 0; i < 16; ++i) out[j].v[i] = p[i * stride + j];
  }
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
inline void philox16(std::uint32_t first, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3, std::uint64_t key,
                     Int words[4]) {
  for (int block = 0; block < 16; ++block) {
    std::uint32_t x[4] = {first + static_cast<std::uint32_t>(block), c1, c2, c3};
    std::uint32_t k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[0], p1 = std::uint64_t{0xCD9E8D57U} * x[2];
      x[0] = static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0;
      x[1] = static_cast<std::uint32_t>(p1);
      x[2] = static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1;
      x[3] = static_cast<std::uint32_t>(p0);
      k0 += 0x9E3779B9U;
      k1 += 0xBB67AE85U;
    }
    for (int w = 0; w < 4; ++w) words[block / 4].v[(block % 4) * 4 + w] = as_signed(x[w]);
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
