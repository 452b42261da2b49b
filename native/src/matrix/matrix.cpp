#include "convsweep/matrix.h"

#include <cmath>

#include "convsweep/backend.h"
#include "convsweep/error.h"
#include "convsweep/thread_pool.h"

namespace convsweep {
namespace {

constexpr int most_side = 65536;
constexpr std::int64_t most_elements = std::int64_t{1} << 30;

// A block of the backend's memory; frees itself.
class Block {
 public:
  Block(Backend& backend, std::size_t bytes) : backend_(backend), memory_(backend.allocate(bytes > 0 ? bytes : 64)) {}
  ~Block() { backend_.release(memory_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  template <class T>
  T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  Backend& backend_;
  void* memory_;
};

void check_side(const char* path, int side) {
  if (side < 1 || side > most_side) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, "integer from 1 to " + std::to_string(most_side),
                     std::to_string(side));
  }
}

void check_size(const char* path, std::int64_t expected, std::size_t found) {
  if (expected > most_elements) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, "at most " + std::to_string(most_elements) + " elements",
                     std::to_string(expected));
  }
  if (static_cast<std::size_t>(expected) != found) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, std::to_string(expected) + " values", std::to_string(found));
  }
}

void check_weights(int vertices, std::span<const float> weights) {
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] > -INFINITY) continue;
    const std::size_t side = static_cast<std::size_t>(vertices);
    throw unexpected(
        ErrorCode::ENGINE_BAD_ARGUMENT, "weights[" + std::to_string(i) + "]",
        "a number or Infinity for the edge from " + std::to_string(i / side) + " to " + std::to_string(i % side),
        std::isnan(weights[i]) ? "NaN" : "-Infinity");
  }
}

}  // namespace

std::vector<float> matmul(Backend& backend, int threads, const MatmulShape& shape, std::span<const float> a,
                          std::span<const float> b) {
  check_side("rows", shape.rows);
  check_side("inner", shape.inner);
  check_side("columns", shape.columns);
  check_size("a", std::int64_t{shape.rows} * shape.inner, a.size());
  check_size("b", std::int64_t{shape.inner} * shape.columns, b.size());
  const std::int64_t size = std::int64_t{shape.rows} * shape.columns;
  if (size > most_elements) check_size("rows", size, 0);
  std::vector<float> result(static_cast<std::size_t>(size));

  const Block device_a(backend, a.size_bytes()), device_b(backend, b.size_bytes());
  const Block device_c(backend, result.size() * sizeof(float));
  const Block scratch(backend, backend.ops().matmul_scratch_bytes(shape, threads));
  backend.copy_in(device_a.as<float>(), a.data(), a.size_bytes());
  backend.copy_in(device_b.as<float>(), b.data(), b.size_bytes());
  ThreadPool pool(threads);
  const auto context = backend.context(&pool);
  backend.ops().matmul(*context, MatmulCall{shape, device_a.as<float>(), device_b.as<float>(), device_c.as<float>(),
                                            scratch.as<std::byte>()});
  backend.copy_out(result.data(), device_c.as<float>(), result.size() * sizeof(float));
  return result;
}

ShortestPaths shortest_paths(Backend& backend, int threads, int vertices, std::span<const float> weights,
                             bool with_next) {
  check_side("vertices", vertices);
  check_size("weights", std::int64_t{vertices} * vertices, weights.size());
  check_weights(vertices, weights);
  ShortestPaths result;
  result.distance.resize(weights.size());
  if (with_next) result.next.resize(weights.size());

  const Block distance(backend, weights.size_bytes());
  const Block next(backend, result.next.size() * sizeof(std::int32_t));
  const Block scratch(backend, backend.ops().shortest_paths_scratch_bytes(vertices, with_next, threads));
  backend.copy_in(distance.as<float>(), weights.data(), weights.size_bytes());
  ThreadPool pool(threads);
  const auto context = backend.context(&pool);
  ShortestPathsCall call{vertices, distance.as<float>(), with_next ? next.as<std::int32_t>() : nullptr,
                         scratch.as<std::byte>(), -1};
  backend.ops().shortest_paths(*context, call);
  if (call.negative_cycle >= 0) {
    throw Error(
        ErrorCode::ENGINE_BAD_ARGUMENT, "weights",
        "expected no cycle of negative length, found one through vertex " + std::to_string(call.negative_cycle));
  }
  backend.copy_out(result.distance.data(), distance.as<float>(), weights.size_bytes());
  if (with_next)
    backend.copy_out(result.next.data(), next.as<std::int32_t>(), result.next.size() * sizeof(std::int32_t));
  return result;
}

}  // namespace convsweep
