// Two operations on large matrices that no network needs: the matrix product, and shortest paths between all vertices.
//
// Guarantees: row-major float matrices; a result depends on its arguments and the backend only, never on threads or
// vector width. Off any session: nothing here is a layer.
//
// Not here: the call from JavaScript (src/binding/matrix.cc), loops (src/backend/*/..._matrix.*).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace convsweep {

class Backend;

// op(a) is [rows][inner]: a itself is that, or [inner][rows] when transposed; op(b) is [inner][columns] likewise.
struct MatmulShape {
  int rows = 0, inner = 0, columns = 0;
  bool transpose_a = false, transpose_b = false;
};

// One call on a backend's memory.
struct MatmulCall {
  MatmulShape shape;
  const float* a = nullptr;
  const float* b = nullptr;
  // [rows][columns], written with `=`. Each element is one sum over `inner` in ascending order, by fused multiply-add.
  float* c = nullptr;
  // matmul_scratch_bytes of it.
  std::byte* scratch = nullptr;
};

struct ShortestPathsCall {
  int vertices = 0;
  // In: weight of the edge from row to column, +infinity for none. Out: length of the shortest path, 0 on the diagonal.
  float* distance = nullptr;
  // Null, or out: the vertex after `row` on a shortest path to `column`; `row` itself on the diagonal, -1 where there
  // is no path.
  std::int32_t* next = nullptr;
  std::byte* scratch = nullptr;
  // Out: a vertex on a cycle of negative length, else -1. When there is one, `distance` and `next` mean nothing.
  int negative_cycle = -1;
};

// Throws Error ENGINE_BAD_ARGUMENT when sizes do not fit, ENGINE_OUT_OF_MEMORY.
std::vector<float> matmul(Backend& backend, int threads, const MatmulShape& shape, std::span<const float> a,
                          std::span<const float> b);

struct ShortestPaths {
  std::vector<float> distance;
  // Empty unless asked for.
  std::vector<std::int32_t> next;
};
// R. W. Floyd, Algorithm 97: Shortest Path, CACM 5(6), 1962. Weights may be negative. Throws Error ENGINE_BAD_ARGUMENT
// for a weight that is NaN or -infinity, and for a cycle of negative length, naming a vertex on it.
ShortestPaths shortest_paths(Backend& backend, int threads, int vertices, std::span<const float> weights,
                             bool with_next);

}  // namespace convsweep
