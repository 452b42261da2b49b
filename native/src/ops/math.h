// exp, log, tanh and sigmoid in single precision, the same bytes on every processor.
//
// Guarantees: each is one fixed sequence of IEEE operations, written once as a template: over `Single` below for scalar
// code (host and CUDA) and over the sixteen-lane vectors of the CPU kernels. So a scalar and a vector kernel agree to
// the bit. Errors against the exact value, in units in the last place, measured by the tests over floats of all
// exponents: exp below 1.1, log below 1, tanh below 1.5, sigmoid below 2.5. Infinity, NaN, overflow and denormal
// numbers are what the exact function gives, rounded; nothing needs flush-to-zero to be on or off. Not here: double
// precision; the reference backend uses the standard library's.
//
// Polynomials: S. L. Moshier, Cephes Mathematical Library, expf, logf, tanhf.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "convsweep/hd.h"

namespace convsweep::math {

// A float with the operations that the templates below use.
struct Single {
  float v;
  struct Bits {
    std::int32_t v;
    CONVSWEEP_HD static Bits of(std::int32_t x) { return {x}; }
  };
  CONVSWEEP_HD static Single of(float x) { return {x}; }
};
CONVSWEEP_HD inline Single operator+(Single a, Single b) { return {a.v + b.v}; }
CONVSWEEP_HD inline Single operator-(Single a, Single b) { return {a.v - b.v}; }
CONVSWEEP_HD inline Single operator*(Single a, Single b) { return {a.v * b.v}; }
CONVSWEEP_HD inline Single operator/(Single a, Single b) { return {a.v / b.v}; }
CONVSWEEP_HD inline Single fma(Single a, Single b, Single c) { return {::fmaf(a.v, b.v, c.v)}; }
CONVSWEEP_HD inline bool less(Single a, Single b) { return a.v < b.v; }
CONVSWEEP_HD inline bool is_nan(Single a) { return a.v != a.v; }
CONVSWEEP_HD inline Single select(bool m, Single a, Single b) { return m ? a : b; }
// b where either is no number.
CONVSWEEP_HD inline Single lower(Single a, Single b) { return a.v < b.v ? a : b; }
CONVSWEEP_HD inline Single upper(Single a, Single b) { return a.v > b.v ? a : b; }
// Both wrap, as the vector instructions do: bits of what is no number are subtracted too, and the result not taken.
CONVSWEEP_HD inline Single::Bits operator+(Single::Bits a, Single::Bits b) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) + static_cast<std::uint32_t>(b.v))};
}
CONVSWEEP_HD inline Single::Bits operator-(Single::Bits a, Single::Bits b) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) - static_cast<std::uint32_t>(b.v))};
}
CONVSWEEP_HD inline Single::Bits operator&(Single::Bits a, Single::Bits b) { return {a.v & b.v}; }
CONVSWEEP_HD inline Single::Bits operator|(Single::Bits a, Single::Bits b) { return {a.v | b.v}; }
CONVSWEEP_HD inline Single::Bits shift_left(Single::Bits a, int n) {
  return {static_cast<std::int32_t>(static_cast<std::uint32_t>(a.v) << n)};
}
CONVSWEEP_HD inline Single::Bits shift_right(Single::Bits a, int n) { return {a.v >> n}; }
CONVSWEEP_HD inline Single::Bits bits(Single a) {
  Single::Bits r;
  memcpy(&r.v, &a.v, sizeof r.v);
  return r;
}
CONVSWEEP_HD inline Single from_bits(Single::Bits a) {
  Single r;
  memcpy(&r.v, &a.v, sizeof r.v);
  return r;
}

template <class R>
CONVSWEEP_HD inline R absolute(R x) {
  return from_bits(bits(x) & R::Bits::of(0x7FFFFFFF));
}

// p 2^n for an integer n, `whole`, of -152 to 129 and p near 1: in two steps, so that results next to overflow and
// denormal ones are rounded once, from the right side. A vector that has an instruction for it brings its own.
template <class R>
CONVSWEEP_HD inline R scaled(R p, R, typename R::Bits whole) {
  using Bits = typename R::Bits;
  const Bits half = shift_right(whole, 1);
  const R scale1 = from_bits(shift_left(half + Bits::of(127), 23));
  const R scale2 = from_bits(shift_left((whole - half) + Bits::of(127), 23));
  return (p * scale1) * scale2;
}

// For x of -105 to 89: x = n ln 2 + r with n an integer, |r| <= ln(2) / 2; e^r by a polynomial; times 2^n. What is no
// number stays none all the way.
template <class R>
CONVSWEEP_HD inline R exp_within(R x) {
  const R magic = R::of(12582912.0F);  // 1.5 * 2^23: adding it rounds to an integer
  const R t = fma(x, R::of(1.44269504088896341F), magic);
  const R n = t - magic;
  R r = fma(n, R::of(-0.693359375F), x);
  r = fma(n, R::of(2.12194440e-4F), r);
  R p = fma(R::of(1.9875691500e-4F), r, R::of(1.3981999507e-3F));
  p = fma(p, r, R::of(8.3334519073e-3F));
  p = fma(p, r, R::of(4.1665795894e-2F));
  p = fma(p, r, R::of(1.6666665459e-1F));
  p = fma(p, r, R::of(5.0000001201e-1F));
  p = fma(p, r * r, r);
  p = p + R::of(1.0F);
  return scaled(p, n, bits(t) - bits(magic));
}

template <class R>
CONVSWEEP_HD inline R exp_of(R x) {
  return exp_within(lower(R::of(89.0F), upper(R::of(-105.0F), x)));
}

// x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m by a polynomial in m - 1.
template <class R>
CONVSWEEP_HD inline R log_of(R x) {
  using Bits = typename R::Bits;
  const auto tiny = less(x, R::of(1.17549435e-38F));
  const R scaled = select(tiny, x * R::of(8388608.0F), x);
  // Exponent such that the mantissa is at least sqrt(1/2) (bits 0x3F3504F3).
  const Bits raw = bits(scaled) - Bits::of(0x3F3504F3);
  const Bits exponent = shift_right(raw, 23);
  const R m = from_bits((raw & Bits::of(0x007FFFFF)) + Bits::of(0x3F3504F3)) - R::of(1.0F);
  // The integer exponent as a float: exact by way of 1.5 * 2^23.
  R e = from_bits(exponent + Bits::of(0x4B400000)) - R::of(12582912.0F);
  e = select(tiny, e - R::of(23.0F), e);
  const R z = m * m;
  R p = fma(R::of(7.0376836292e-2F), m, R::of(-1.1514610310e-1F));
  p = fma(p, m, R::of(1.1676998740e-1F));
  p = fma(p, m, R::of(-1.2420140846e-1F));
  p = fma(p, m, R::of(1.4249322787e-1F));
  p = fma(p, m, R::of(-1.6668057665e-1F));
  p = fma(p, m, R::of(2.0000714765e-1F));
  p = fma(p, m, R::of(-2.4999993993e-1F));
  p = fma(p, m, R::of(3.3333331174e-1F));
  R y = p * (m * z);
  y = fma(e, R::of(-2.12194440e-4F), y);
  y = fma(z, R::of(-0.5F), y);
  R result = fma(e, R::of(0.693359375F), m + y);
  const R infinity = from_bits(Bits::of(0x7F800000)), nan = from_bits(Bits::of(0x7FC00000));
  result = select(less(R::of(3.4028234664e38F), x), x, result);                       // +infinity
  result = select(less(x, R::of(0.0F)), nan, result);                                 // below zero
  result = select(less(absolute(x), R::of(1e-45F)), R::of(0.0F) - infinity, result);  // zero
  return select(is_nan(x), x, result);
}

// Odd polynomial near zero, 1 - 2 / (e^2|x| + 1) elsewhere.
template <class R>
CONVSWEEP_HD inline R tanh_of(R x) {
  using Bits = typename R::Bits;
  const R a = absolute(x);
  const R z = x * x;
  R p = fma(R::of(-5.70498872745e-3F), z, R::of(2.06390887954e-2F));
  p = fma(p, z, R::of(-5.37397155531e-2F));
  p = fma(p, z, R::of(1.33314422036e-1F));
  p = fma(p, z, R::of(-3.33332819422e-1F));
  const R small = fma(p * z, a, a);
  // Beyond 9.1 the result rounds to 1.
  const R clamped = lower(R::of(10.0F), a);
  const R large = R::of(1.0F) - R::of(2.0F) / (exp_within(clamped + clamped) + R::of(1.0F));
  const R y = select(less(a, R::of(0.625F)), small, large);
  const Bits sign = bits(x) & Bits::of(-2147483647 - 1);
  return from_bits(bits(y) | sign);
}

// With e = e^-|x|: 1 / (1 + e) for x >= 0, e / (1 + e) below, so that small results keep their digits.
template <class R>
CONVSWEEP_HD inline R sigmoid_of(R x) {
  const R e = exp_within(upper(R::of(-105.0F), R::of(0.0F) - absolute(x)));
  return select(less(x, R::of(0.0F)), e, R::of(1.0F)) / (R::of(1.0F) + e);
}

struct Normals {
  float v[2];
};

// Two words to two normal deviates (Box and Muller 1958). The angle's octant and its place in it are taken from the
// word's bits, exactly; sine and cosine within an octant by Cephes's polynomials. The square root is IEEE's.
CONVSWEEP_HD inline Normals normal_pair(std::uint32_t a, std::uint32_t b) {
  const Single uniform = {(static_cast<float>(a >> 9) + 0.5F) * 1.1920928955078125e-7F};  // exact, never 0 or 1
  const float radius = ::sqrtf(-2.0F * log_of(uniform).v);
  const std::uint32_t octant = b >> 29, within = (b & 0x1FFFFFFFu) >> 5;
  // Odd octants are measured back from their end, so that the polynomials see at most pi / 4.
  const float share = static_cast<float>((octant & 1) != 0 ? 16777216u - within : within) * 5.9604644775390625e-8F;
  const float x = share * ((octant & 1) != 0 ? -0.785398163397448F : 0.785398163397448F);
  const float z = x * x;
  float sine = ::fmaf(-1.9515295891e-4F, z, 8.3321608736e-3F);
  sine = ::fmaf(sine, z, -1.6666654611e-1F);
  sine = ::fmaf(sine * z, x, x);
  float cosine = ::fmaf(2.443315711809948e-5F, z, -1.388731625493765e-3F);
  cosine = ::fmaf(cosine, z, 4.166664568298827e-2F);
  cosine = ::fmaf(cosine * z, z, ::fmaf(-0.5F, z, 1.0F));
  const std::uint32_t quadrant = ((octant + 1) >> 1) & 3;
  const float c = (quadrant & 1) != 0 ? sine : cosine, s = (quadrant & 1) != 0 ? cosine : sine;
  return {{radius * (quadrant == 1 || quadrant == 2 ? -c : c), radius * (quadrant >= 2 ? -s : s)}};
}

CONVSWEEP_HD inline float exp(float x) { return exp_of(Single{x}).v; }
CONVSWEEP_HD inline float log(float x) { return log_of(Single{x}).v; }
CONVSWEEP_HD inline float tanh(float x) { return tanh_of(Single{x}).v; }
CONVSWEEP_HD inline float sigmoid(float x) { return sigmoid_of(Single{x}).v; }

}  // namespace convsweep::math
