// What the kernel tests share: every instruction set this machine has, two ways to split work, and comparisons.
//
// Guarantees: deterministic; `Backwards` runs tasks in reverse over three slots on the caller, which shows any
// dependence of a result on the split or on the order of tasks without needing a thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/kernels.h"
#include "backend/cpu/serial.h"
#include "doctest/doctest.h"

namespace convsweep::cpu::check {

class Backwards final : public Parallel {
 public:
  int width() const noexcept override { return 3; }
  void for_each(int tasks, Task task, void* context) override {
    for (int i = tasks - 1; i >= 0; --i) task(context, i, i % 3);
  }
};

inline std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (const KernelTable* table = kernels_for(isa)) all.push_back(table);
  }
  return all;
}

// SplitMix64 to [-1, 1).
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t word() {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
  }
  float real() { return static_cast<float>(static_cast<double>(word() >> 40) / 8388608.0 - 1.0); }
  int below(int bound) { return static_cast<int>(word() % static_cast<std::uint64_t>(bound)); }

 private:
  std::uint64_t state_;
};

inline std::vector<float> random_floats(std::size_t count, std::uint64_t seed, float scale = 1.0F) {
  Draw draw(seed);
  std::vector<float> v(count);
  for (float& x : v) x = draw.real() * scale;
  return v;
}

// Output memory with guard zones on both sides and garbage inside, so that a stray or a missing write shows.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count) : count_(count), memory_(count + 2 * kGuard, T(77)) {}
  T* data() { return memory_.data() + kGuard; }
  std::vector<T> values() const {
    return std::vector<T>(memory_.begin() + kGuard, memory_.end() - static_cast<std::ptrdiff_t>(kGuard));
  }
  void fill_from(const std::vector<T>& values) { std::copy(values.begin(), values.end(), data()); }
  bool intact() const {
    for (std::size_t i = 0; i < kGuard; ++i) {
      if (memory_[i] != T(77) || memory_[memory_.size() - 1 - i] != T(77)) return false;
    }
    return true;
  }

 private:
  static constexpr std::size_t kGuard = 32;
  std::size_t count_;
  std::vector<T> memory_;
};

// 64-byte aligned scratch memory full of NaN, exactly as large as asked for.
class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : memory_(std::aligned_alloc(64, (bytes + 127) / 64 * 64)) {
    std::memset(memory_, 0xFF, (bytes + 127) / 64 * 64);
  }
  ~Scratch() { std::free(memory_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* data() { return memory_; }

 private:
  void* memory_;
};

// Runs `f(table, parallel)`, which yields the output's floats, for every table and both splits; all must have the same
// bytes. Yields them.
inline std::vector<float> same_everywhere(const std::function<std::vector<float>(const KernelTable&, Parallel&)>& f) {
  std::vector<float> first;
  bool have = false;
  for (const KernelTable* table : tables()) {
    Serial serial;
    Backwards backwards;
    for (Parallel* parallel : {static_cast<Parallel*>(&serial), static_cast<Parallel*>(&backwards)}) {
      std::vector<float> out = f(*table, *parallel);
      if (!have) {
        first = out;
        have = true;
        continue;
      }
      INFO(std::string(table->name) << ", width " << parallel->width());
      REQUIRE(out.size() == first.size());
      CHECK(std::memcmp(out.data(), first.data(), out.size() * sizeof(float)) == 0);
    }
  }
  return first;
}

inline void check_close(const std::vector<float>& found, const std::vector<double>& expected, double tolerance) {
  REQUIRE(found.size() == expected.size());
  double worst = 0.0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double error = std::fabs(static_cast<double>(found[i]) - expected[i]) / (1.0 + std::fabs(expected[i]));
    if (!(error <= worst)) {
      worst = error;
      at = i;
    }
  }
  INFO("worst at " << at << ": found " << (found.empty() ? 0.0F : found[at]) << ", expected "
                   << (expected.empty() ? 0.0 : expected[at]));
  CHECK(worst <= tolerance);
}

}  // namespace convsweep::cpu::check
