// matmul and shortest paths of the CUDA sources on the host emulator: against the CPU's bytes and Floyd's three loops.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <array>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/kernels.h"
#include "backend/reference/reference_backend.h"
#include "convsweep/matrix.h"
#include "emulator/tiles.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<float> filled(std::size_t count, std::uint64_t seed) {
  std::vector<float> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<float>(value_at(seed, i));
  return all;
}

std::size_t area(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

// Whole numbers, so that every order of sums agrees. Heights make negative edges without negative cycles.
std::vector<float> graph(int n, double edges) {
  std::vector<float> weights(area(n, n), infinity);
  const auto height = [](int i) { return static_cast<int>(30 * value_at(7, static_cast<std::uint64_t>(i))); };
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      const std::size_t at = area(i, n) + static_cast<std::size_t>(j);
      if (value_at(8, at) < 2 * edges - 1) {
        weights[at] = static_cast<float>(static_cast<int>(50 * value_at(9, at)) + 50 + height(i) - height(j));
      }
    }
  }
  return weights;
}

struct Paths {
  Guarded<float> distance;
  Guarded<std::int32_t> next;
  int negative_cycle;
};

Paths emulated_paths(int n, const std::vector<float>& weights, bool with_next) {
  Paths paths{Guarded<float>(weights.size()), Guarded<std::int32_t>(with_next ? weights.size() : 0), -1};
  std::copy(weights.begin(), weights.end(), paths.distance.data());
  Guarded<std::int32_t> scratch(emulated::shortest_paths_scratch_bytes(n, with_next, 1) / sizeof(std::int32_t));
  ShortestPathsCall call{n, paths.distance.data(), with_next ? paths.next.data() : nullptr,
                         reinterpret_cast<std::byte*>(scratch.data()), -1};
  emulator::CudaContext context(nullptr);
  emulated::op_table().shortest_paths(context, call);
  paths.negative_cycle = call.negative_cycle;
  paths.distance.check("distance");
  paths.next.check("next");
  scratch.check("scratch");
  return paths;
}

}  // namespace

TEST_CASE("cuda: matmul gives the CPU's bytes, however its operands are laid out") {
  const auto cpu = make_cpu_backend(cpu::kernels());
  for (const auto& [m, n, k] : {std::array{1, 1, 1}, std::array{3, 5, 7}, std::array{17, 40, 33},
                                std::array{70, 20, 16}, std::array{65, 130, 50}}) {
    for (int flags = 0; flags < 4; ++flags) {
      const MatmulShape shape{m, k, n, (flags & 1) != 0, (flags & 2) != 0};
      INFO(m << "x" << k << " by " << k << "x" << n << ", transposed " << flags);
      const std::vector<float> a = filled(area(m, k), 1), b = filled(area(k, n), 2);
      Guarded<float> c(area(m, n));
      emulator::set_seed(static_cast<std::uint64_t>(m + flags));
      emulator::CudaContext context(nullptr);
      emulated::op_table().matmul(context, MatmulCall{shape, a.data(), b.data(), c.data(), nullptr});
      const std::vector<float> wanted = matmul(*cpu, 1, shape, a, b);
      CHECK(std::memcmp(c.data(), wanted.data(), wanted.size() * sizeof(float)) == 0);
      c.check("c");
    }
  }
}

TEST_CASE("cuda: a product's tiles change no byte") {
  const auto cpu = make_cpu_backend(cpu::kernels());
  for (const auto& [m, n, k] :
       {std::array{1, 1, 1}, std::array{65, 66, 33}, std::array{64, 128, 16}, std::array{130, 72, 40}}) {
    const std::vector<float> a = filled(area(m, k), 1), b = filled(area(k, n), 2);
    const std::vector<float> wanted = matmul(*cpu, 1, MatmulShape{m, k, n, false, false}, a, b);
    for (const auto& [tm, tn] : {std::array{4, 2}, std::array{4, 4}, std::array{1, 8}, std::array{2, 8},
                                 std::array{3, 8}, std::array{4, 8}, std::array{7, 8}, std::array{8, 8}}) {
      for (const bool fours : {false, true}) {
        if (fours && n % 4 != 0) continue;
        INFO(m << "x" << k << " by " << k << "x" << n << ", tiles of " << 8 * tm << "x" << 16 * tn << ", fours "
               << fours);
        Guarded<float> c(area(m, n));
        emulator::set_seed(static_cast<std::uint64_t>(m + tn));
        emulator::probe::tiled_product(tm, tn, fours, m, n, k, a.data(), b.data(), c.data());
        CHECK(std::memcmp(c.data(), wanted.data(), wanted.size() * sizeof(float)) == 0);
        c.check("c");
      }
    }
  }
}

TEST_CASE("cuda: shortest paths agree with Floyd's three loops, and `next` walks edges that add up") {
  const auto reference = make_reference_backend();
  for (const int n : {1, 2, 31, 32, 33, 100}) {
    for (const double edges : {0.1, 0.9}) {
      CAPTURE(n);
      CAPTURE(edges);
      const std::vector<float> weights = graph(n, edges);
      const std::vector<float> wanted = shortest_paths(*reference, 1, n, weights, false).distance;
      emulator::set_seed(static_cast<std::uint64_t>(n));
      const Paths found = emulated_paths(n, weights, true), without = emulated_paths(n, weights, false);
      CHECK(found.negative_cycle == -1);
      REQUIRE(std::memcmp(found.distance.data(), wanted.data(), wanted.size() * sizeof(float)) == 0);
      CHECK(std::memcmp(without.distance.data(), wanted.data(), wanted.size() * sizeof(float)) == 0);
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          const auto at = [&](int from) { return area(from, n) + static_cast<std::size_t>(j); };
          if (wanted[at(i)] == infinity) {
            REQUIRE(found.next[at(i)] == -1);
            continue;
          }
          float sum = 0;
          int steps = 0;
          for (int v = i; v != j && steps <= n; ++steps) {
            const int to = found.next[at(v)];
            REQUIRE(to >= 0);
            sum += weights[area(v, n) + static_cast<std::size_t>(to)];
            v = to;
          }
          REQUIRE(sum == wanted[at(i)]);
        }
      }
    }
  }
}

TEST_CASE("cuda: a cycle of negative length is found, whichever square it lies in") {
  for (const int n : {5, 70}) {
    for (const int first : {0, n - 3}) {
      std::vector<float> weights(area(n, n), infinity);
      const auto edge = [&](int i, int j) -> float& { return weights[area(i, n) + static_cast<std::size_t>(j)]; };
      for (int i = 0; i + 1 < n; ++i) edge(i, i + 1) = 1;
      edge(first + 2, first) = -3;
      const int found = emulated_paths(n, weights, true).negative_cycle;
      CAPTURE(n);
      CHECK(found >= first);
      CHECK(found <= first + 2);
    }
  }
  std::vector<float> loop(9, infinity);
  loop[4] = -1;
  CHECK(emulated_paths(3, loop, false).negative_cycle == 1);
}
#endif
