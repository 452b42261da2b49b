// Logarithm, cosine and powers in double that give the same bytes on every machine.
//
// Guarantees: only IEEE additions, multiplications and divisions in a fixed order (compiled with -ffp-contract=off), so
// no platform's math library has a say in a trial's result. Errors stay below 4e-16 relative (log, away from 1: absolute)
// and absolute (cos_pi, sin_pi); far more than a float holds.
//
// Not here: the float functions of kernels (src/ops/math.h).
#pragma once

#include <cstdint>

namespace convsweep {

// Natural logarithm of a positive, finite, normal number.
double portable_log(double x);
// cos(pi x) and sin(pi x) for |x| < 2^50.
double cos_pi(double x);
double sin_pi(double x);
// base to a whole exponent, by squaring.
double power(double base, std::uint64_t exponent);

}  // namespace convsweep
