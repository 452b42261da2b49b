// What the tests of the engine's core share.
//
// Guarantees: deterministic. A Guarded buffer has known bytes before and behind its values; check() fails the test when
// something wrote there.
#pragma once

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "convsweep/error.h"
#include "convsweep/rng.h"
#include "doctest/doctest.h"

namespace convsweep::test {

// Values in [-1, 1), a function of (seed, index).
inline double value_at(std::uint64_t seed, std::uint64_t index) {
  const PhiloxBlock block = philox4x32_10({{static_cast<std::uint32_t>(index), 0, 0, 99}},
                                          static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  return block.word[0] / 2147483648.0 - 1.0;
}

template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : bytes_(count * sizeof(T) + 2 * zone, pattern), count_(count) {
    std::fill(data(), data() + count, T{});
  }
  T* data() { return reinterpret_cast<T*>(bytes_.data() + zone); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data() + zone); }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }

  void fill(std::uint64_t seed, double scale = 1.0) {
    for (std::size_t i = 0; i < count_; ++i) data()[i] = static_cast<T>(value_at(seed, i) * scale);
  }

  void check(const std::string& what) const {
    bool whole = true;
    for (std::size_t i = 0; i < zone; ++i) {
      whole = whole && bytes_[i] == pattern && bytes_[bytes_.size() - 1 - i] == pattern;
    }
    CHECK_MESSAGE(whole, "write outside of " << what);
  }

 private:
  static constexpr std::size_t zone = 64;
  static constexpr unsigned char pattern = 0xA5;
  std::vector<unsigned char> bytes_;
  std::size_t count_;
};

// Largest |a - b| over the largest |b| (or over 1 when that is smaller).
template <class A, class B>
double distance(const A& a, const B& b) {
  double worst = 0, scale = 1;
  for (std::size_t i = 0; i < b.size(); ++i) scale = std::fmax(scale, std::fabs(static_cast<double>(b[i])));
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double d = std::fabs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    worst = std::isnan(d) ? INFINITY : std::fmax(worst, d);
  }
  return worst / scale;
}

// Runs `body`, which must throw Error, and gives back what it threw.
template <class Body>
Error thrown_by(Body body) {
  try {
    body();
  } catch (const Error& error) {
    return error;
  }
  FAIL("expected an Error, nothing was thrown");
  return Error(ErrorCode::ENGINE_INTERNAL, "", "nothing");
}

}  // namespace convsweep::test
