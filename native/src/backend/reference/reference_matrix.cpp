// matmul and shortest paths as their definitions say, sums in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/reference/reference_backend.h"

namespace convsweep::reference {

void matmul(const MatmulCall& call) {
  const MatmulShape& s = call.shape;
  for (std::int64_t i = 0; i < s.rows; ++i) {
    for (std::int64_t j = 0; j < s.columns; ++j) {
      double sum = 0;
      for (std::int64_t k = 0; k < s.inner; ++k) {
        const float a = call.a[s.transpose_a ? k * s.rows + i : i * s.inner + k];
        const float b = call.b[s.transpose_b ? j * s.inner + k : k * s.columns + j];
        sum += static_cast<double>(a) * static_cast<double>(b);
      }
      call.c[i * s.columns + j] = static_cast<float>(sum);
    }
  }
}

// Algorithm 97 as published, three loops.
void shortest_paths(ShortestPathsCall& call) {
  const auto n = static_cast<std::size_t>(call.vertices);
  constexpr double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> d(call.distance, call.distance + n * n);
  std::vector<std::int32_t> next(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    d[i * n + i] = std::min(d[i * n + i], 0.0);
    for (std::size_t j = 0; j < n; ++j) {
      next[i * n + j] = static_cast<std::int32_t>(i == j ? i : j);
      if (d[i * n + j] == infinity) next[i * n + j] = -1;
    }
  }
  for (std::size_t k = 0; k < n; ++k) {
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        const double candidate = d[i * n + k] + d[k * n + j];
        if (!(candidate < d[i * n + j])) continue;
        d[i * n + j] = candidate;
        next[i * n + j] = next[i * n + k];
      }
    }
    for (std::size_t i = 0; i < n && call.negative_cycle < 0; ++i) {
      if (d[i * n + i] < 0) call.negative_cycle = static_cast<int>(i);
    }
    if (call.negative_cycle >= 0) return;
  }
  for (std::size_t i = 0; i < n * n; ++i) call.distance[i] = static_cast<float>(d[i]);
  if (call.next != nullptr) std::copy(next.begin(), next.end(), call.next);
}

}  // namespace convsweep::reference
