// exp, log, tanh, sigmoid: error bounds against double precision, edges, and scalar and vector to the bit.
#include <limits>

#include "kernels_check.h"
#include "ops/math.h"

using namespace convsweep;
using namespace convsweep::cpu;
using namespace convsweep::cpu::check;

namespace {

// Distance in units in the last place of the exact result rounded to float.
double ulps(float found, double exact) {
  int exponent = 0;
  const double magnitude = std::fabs(exact);
  std::frexp(magnitude, &exponent);
  const double unit = magnitude < 1.17549435e-38 ? std::ldexp(1.0, -149) : std::ldexp(1.0, exponent - 24);
  return std::fabs(static_cast<double>(found) - exact) / unit;
}

float float_of(std::uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Every 4099th float of all signs and exponents: about a million.
template <class F, class G>
double worst_error(F f, G exact) {
  double worst = 0.0;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4099) {
    const float x = float_of(static_cast<std::uint32_t>(bits));
    if (std::isnan(x)) continue;
    const double want = exact(static_cast<double>(x));
    const float found = f(x);
    if (std::isnan(want)) {
      CHECK(std::isnan(found));
      continue;
    }
    if (std::isinf(static_cast<float>(want)) || std::isinf(found)) {
      CHECK(found == static_cast<float>(want));
      continue;
    }
    worst = std::max(worst, ulps(found, want));
  }
  return worst;
}

}  // namespace

TEST_CASE("exp, log, tanh and sigmoid stay within their error bounds") {
  CHECK(worst_error([](float x) { return math::exp(x); }, [](double x) { return std::exp(x); }) < 1.1);
  CHECK(worst_error([](float x) { return math::log(x); }, [](double x) { return std::log(x); }) < 1.0);
  CHECK(worst_error([](float x) { return math::tanh(x); }, [](double x) { return std::tanh(x); }) < 1.5);
  const auto sigmoid = [](double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); };
  CHECK(worst_error([](float x) { return math::sigmoid(x); }, sigmoid) < 2.5);
}

TEST_CASE("edges of exp, log, tanh and sigmoid") {
  const float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(math::exp(0.0F) == 1.0F);
  CHECK(math::exp(infinity) == infinity);
  CHECK(math::exp(-infinity) == 0.0F);
  CHECK(math::exp(89.0F) == infinity);
  CHECK(math::exp(-103.9F) == 1.4012985e-45F);
  CHECK(std::isnan(math::exp(nan)));
  CHECK(math::log(1.0F) == 0.0F);
  CHECK(math::log(0.0F) == -infinity);
  CHECK(math::log(-0.0F) == -infinity);
  CHECK(std::isnan(math::log(-1.0F)));
  CHECK(std::isnan(math::log(-infinity)));
  CHECK(math::log(infinity) == infinity);
  CHECK(std::isnan(math::log(nan)));
  CHECK(math::tanh(infinity) == 1.0F);
  CHECK(math::tanh(-infinity) == -1.0F);
  CHECK(std::signbit(math::tanh(-0.0F)));
  CHECK(std::isnan(math::tanh(nan)));
  CHECK(math::sigmoid(infinity) == 1.0F);
  CHECK(math::sigmoid(-infinity) == 0.0F);
  CHECK(math::sigmoid(0.0F) == 0.5F);
  CHECK(std::isnan(math::sigmoid(nan)));
}

TEST_CASE("vector tanh and sigmoid have the scalar definition's bytes") {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 99991) {
    const float value = float_of(static_cast<std::uint32_t>(bits));
    if (!std::isnan(value)) x.push_back(value);
  }
  const std::vector<float> tanh = same_everywhere([&](const KernelTable& k, Parallel& p) {
    std::vector<float> y(x.size());
    k.tanh_forward(p, static_cast<std::int64_t>(x.size()), x.data(), y.data());
    return y;
  });
  const std::vector<float> sigmoid = same_everywhere([&](const KernelTable& k, Parallel& p) {
    std::vector<float> y(x.size());
    k.sigmoid_forward(p, static_cast<std::int64_t>(x.size()), x.data(), y.data());
    return y;
  });
  int wrong = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const float t = math::tanh(x[i]), s = math::sigmoid(x[i]);
    wrong += std::memcmp(&t, &tanh[i], sizeof t) != 0 || std::memcmp(&s, &sigmoid[i], sizeof s) != 0 ? 1 : 0;
  }
  CHECK(wrong == 0);
}
