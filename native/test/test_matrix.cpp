// matmul and shortest paths: against the definitions in double, to the bit across instruction sets and threads, and by
// invariants (triangle inequality, paths that add up) where no other answer is at hand.
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "convsweep/error.h"
#include "convsweep/matrix.h"
#include "kernels_check.h"

using namespace convsweep;
using cpu::check::Draw;
using cpu::check::random_floats;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::size_t area(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

// Whole numbers, so that every sum is exact and every order of sums agrees.
std::vector<float> random_graph(int n, std::uint64_t seed, int edges_of_ten, int lowest) {
  Draw draw(seed);
  std::vector<float> weights(area(n, n), infinity);
  // Potentials make negative edges without negative cycles.
  std::vector<int> height(static_cast<std::size_t>(n));
  for (int& h : height) h = lowest < 0 ? draw.below(-lowest) : 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      if (i == j || draw.below(10) >= edges_of_ten) continue;
      weights[area(i, n) + static_cast<std::size_t>(j)] = static_cast<float>(
          draw.below(100) + height[static_cast<std::size_t>(i)] - height[static_cast<std::size_t>(j)]);
    }
  }
  return weights;
}

ShortestPaths on_cpu(const cpu::KernelTable& table, int threads, int n, const std::vector<float>& weights, bool next) {
  const auto backend = make_cpu_backend(table);
  return shortest_paths(*backend, threads, n, weights, next);
}

std::string thrown(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::ENGINE_BAD_ARGUMENT);
    return error.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("matmul agrees with its definition and has the same bytes everywhere") {
  const auto reference = make_reference_backend();
  for (const auto& [m, n, k] :
       {std::array{1, 1, 1}, std::array{3, 5, 7}, std::array{65, 130, 33}, std::array{128, 300, 257}}) {
    for (int flags = 0; flags < 4; ++flags) {
      const MatmulShape shape{m, k, n, (flags & 1) != 0, (flags & 2) != 0};
      INFO(m << "x" << k << " by " << k << "x" << n << ", transposed " << flags);
      const auto a = random_floats(area(m, k), 1), b = random_floats(area(k, n), 2);
      const std::vector<float> expected = matmul(*reference, 1, shape, a, b);
      std::vector<float> first;
      for (const cpu::KernelTable* table : cpu::check::tables()) {
        for (const int threads : {1, 3}) {
          const auto backend = make_cpu_backend(*table);
          const std::vector<float> found = matmul(*backend, threads, shape, a, b);
          cpu::check::check_close(found, {expected.begin(), expected.end()}, 2e-6 * std::sqrt(k) + 1e-6);
          if (first.empty()) first = found;
          CHECK(found == first);
        }
      }
    }
  }
}

TEST_CASE("shortest paths agree with Floyd's three loops, exactly where sums are exact") {
  const auto reference = make_reference_backend();
  for (const int n : {1, 2, 63, 64, 65, 200}) {
    for (const int lowest : {0, -50}) {
      for (const int edges : {1, 9}) {
        INFO(n << " vertices, edges " << edges << " of 10, lowest " << lowest);
        const std::vector<float> weights = random_graph(n, static_cast<std::uint64_t>(n), edges, lowest);
        const std::vector<float> expected = shortest_paths(*reference, 1, n, weights, false).distance;
        for (const cpu::KernelTable* table : cpu::check::tables()) {
          for (const int threads : {1, 3}) {
            CHECK(on_cpu(*table, threads, n, weights, false).distance == expected);
            CHECK(on_cpu(*table, threads, n, weights, true).distance == expected);
          }
        }
      }
    }
  }
}

TEST_CASE("following `next` walks edges that add up to the distance") {
  const int n = 130;
  const std::vector<float> weights = random_graph(n, 5, 1, -30);
  const auto at = [n](int i, int j) { return area(i, n) + static_cast<std::size_t>(j); };
  ShortestPaths first;
  for (const cpu::KernelTable* table : cpu::check::tables()) {
    const ShortestPaths found = on_cpu(*table, 2, n, weights, true);
    if (first.next.empty()) first = found;
    CHECK(found.next == first.next);
  }
  int walked = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      if (first.distance[at(i, j)] == infinity) {
        CHECK(first.next[at(i, j)] == -1);
        continue;
      }
      float sum = 0;
      int steps = 0;
      for (int v = i; v != j && steps <= n; ++steps) {
        const int to = first.next[at(v, j)];
        sum += weights[at(v, to)];
        v = to;
      }
      CHECK(steps <= n);
      CHECK(sum == first.distance[at(i, j)]);
      ++walked;
    }
  }
  CHECK(walked > n);
}

TEST_CASE("real weights keep the triangle inequality and have the same bytes everywhere") {
  const int n = 150;
  std::vector<float> weights = random_floats(area(n, n), 9);
  for (float& w : weights) w = w < 0 ? infinity : w;
  std::vector<float> first;
  for (const cpu::KernelTable* table : cpu::check::tables()) {
    for (const int threads : {1, 2, 5}) {
      const std::vector<float> d = on_cpu(*table, threads, n, weights, false).distance;
      if (first.empty()) first = d;
      CHECK(d == first);
    }
  }
  const auto at = [&](int i, int j) { return first[area(i, n) + static_cast<std::size_t>(j)]; };
  float worst = 0;
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) {
      for (int k = 0; k < n; ++k) worst = std::max(worst, at(i, j) - (at(i, k) + at(k, j)));
    }
  }
  // A few roundings of numbers below 1.
  CHECK(worst <= 4e-7F);
}

TEST_CASE("a negative cycle is named, and what is no weight too") {
  for (const cpu::KernelTable* table : cpu::check::tables()) {
    const auto backend = make_cpu_backend(*table);
    std::vector<float> weights(area(100, 100), infinity);
    weights[area(3, 100) + 70] = 2;
    weights[area(70, 100) + 3] = -3;
    const std::string cycle = thrown([&] { shortest_paths(*backend, 2, 100, weights, true); });
    CHECK((cycle == "weights: expected no cycle of negative length, found one through vertex 3" ||
           cycle == "weights: expected no cycle of negative length, found one through vertex 70"));
    weights[area(70, 100) + 3] = std::nanf("");
    CHECK(thrown([&] { shortest_paths(*backend, 2, 100, weights, true); }) ==
          "weights[7003]: expected a number or Infinity for the edge from 70 to 3, found NaN");
    CHECK(thrown([&] { shortest_paths(*backend, 1, 4, std::vector<float>(15), true); }) ==
          "weights: expected 16 values, found 15");
    CHECK(thrown([&] { matmul(*backend, 1, {2, 3, 4}, std::vector<float>(6), std::vector<float>(13)); }) ==
          "b: expected 12 values, found 13");
    CHECK(thrown([&] { matmul(*backend, 1, {0, 3, 4}, {}, std::vector<float>(12)); }) ==
          "rows: expected integer from 1 to 65536, found 0");
  }
}
