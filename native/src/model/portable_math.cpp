#include "model/portable_math.h"

#include <cmath>

namespace convsweep {
namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double ln2 = 0.69314718055994530942;
constexpr double sqrt_half = 0.70710678118654752440;

// Taylor series; |t| <= pi / 4 leaves the next term below 1e-17.
double sin_series(double t) {
  const double t2 = t * t;
  double sum = 0;
  for (int k = 17; k >= 3; k -= 2) sum = (1 + sum) * (-t2 / (k * (k - 1)));
  return t * (1 + sum);
}

double cos_series(double t) {
  const double t2 = t * t;
  double sum = 0;
  for (int k = 18; k >= 2; k -= 2) sum = (1 + sum) * (-t2 / (k * (k - 1)));
  return 1 + sum;
}

}  // namespace

double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < sqrt_half) {
    m *= 2;
    exponent -= 1;
  }
  // log m = 2 atanh(s); s^2 <= 0.0295, so the 12th term is below 1e-18.
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double sum = 0;
  for (int k = 25; k >= 1; k -= 2) sum = sum * s2 + 1.0 / k;
  return exponent * ln2 + 2 * s * sum;
}

double cos_pi(double x) {
  // fmod, floor and the subtractions below are exact.
  double r = std::fmod(std::fabs(x), 2.0);
  if (r > 1) r = 2 - r;
  double sign = 1;
  if (r > 0.5) {
    r = 1 - r;
    sign = -1;
  }
  return sign * (r <= 0.25 ? cos_series(pi * r) : sin_series(pi * (0.5 - r)));
}

double sin_pi(double x) {
  double r = std::fmod(x, 2.0);
  if (r < 0) r += 2;
  double sign = 1;
  if (r > 1) {
    r -= 1;
    sign = -1;
  }
  if (r > 0.5) r = 1 - r;
  return sign * (r <= 0.25 ? sin_series(pi * r) : cos_series(pi * (0.5 - r)));
}

double power(double base, std::uint64_t exponent) {
  double result = 1;
  for (; exponent != 0; exponent >>= 1) {
    if ((exponent & 1) != 0) result *= base;
    base *= base;
  }
  return result;
}

}  // namespace convsweep
