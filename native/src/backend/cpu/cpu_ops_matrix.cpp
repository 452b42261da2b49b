// matmul and shortest paths on the CPU.
//
// Shortest paths: Floyd and Warshall by blocks (G. Venkataraman, S. Sahni, S. Mukhopadhyaya, A Blocked All-Pairs
// Shortest-Paths Algorithm, 2003). For each block k of the diagonal: close it; then the blocks of its row and column;
// then all others, which are independent products of the latter.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/cpu_scratch.h"

namespace convsweep::cpu {
namespace {

// Three blocks of floats fit a first-level cache of 48 KiB.
constexpr int side = 64;
constexpr float infinity = std::numeric_limits<float>::infinity();

std::size_t padded(int vertices) { return static_cast<std::size_t>((vertices + side - 1) / side * side); }

// A square of `side` in a padded matrix, and the same in the matrix of next vertices (null unless wanted).
struct Square {
  float* distance;
  float* next;
  std::ptrdiff_t stride;
};

class Paths {
 public:
  Paths(const KernelTable& kernels, ShortestPathsCall& call)
      : kernels_(kernels), call_(call), size_(padded(call.vertices)), blocks_(static_cast<int>(size_) / side) {
    distance_ = reinterpret_cast<float*>(call.scratch);
    next_ = call.next != nullptr ? distance_ + size_ * size_ : nullptr;
    copies_ = distance_ + (call.next != nullptr ? 2 : 1) * size_ * size_;
  }

  static std::size_t scratch_floats(int vertices, bool with_next, int width) {
    const std::size_t size = padded(vertices);
    return (with_next ? 2 : 1) * (size * size + std::size_t{side} * side * static_cast<std::size_t>(width));
  }

  void run(Parallel& parallel) {
    read();
    for (int k = 0; k < blocks_; ++k) {
      close(k);
      call_.negative_cycle = negative_vertex();
      if (call_.negative_cycle >= 0) return;
      k_ = k;
      parallel.for_each(
          blocks_, [](void* self, int i, int slot) { static_cast<Paths*>(self)->row_block(i, slot); }, this);
      parallel.for_each(
          blocks_, [](void* self, int i, int slot) { static_cast<Paths*>(self)->other_rows(i, slot); }, this);
      call_.negative_cycle = negative_vertex();
      if (call_.negative_cycle >= 0) return;
    }
    write();
  }

 private:
  Square at(int block_row, int block_column) const {
    const std::size_t offset =
        static_cast<std::size_t>(block_row) * side * size_ + static_cast<std::size_t>(block_column) * side;
    return {distance_ + offset, next_ != nullptr ? next_ + offset : nullptr, static_cast<std::ptrdiff_t>(size_)};
  }

  void read() {
    const auto n = static_cast<std::size_t>(call_.vertices);
    for (std::size_t i = 0; i < size_; ++i) {
      for (std::size_t j = 0; j < size_; ++j) {
        const float weight = i < n && j < n ? call_.distance[i * n + j] : infinity;
        distance_[i * size_ + j] = i == j ? std::min(weight, 0.0F) : weight;
        if (next_ != nullptr) {
          next_[i * size_ + j] = i == j ? static_cast<float>(i) : weight < infinity ? static_cast<float>(j) : -1.0F;
        }
      }
    }
  }

  void write() const {
    const auto n = static_cast<std::size_t>(call_.vertices);
    for (std::size_t i = 0; i < n; ++i) {
      std::copy_n(distance_ + i * size_, n, call_.distance + i * n);
      if (next_ == nullptr) continue;
      for (std::size_t j = 0; j < n; ++j) call_.next[i * n + j] = static_cast<std::int32_t>(next_[i * size_ + j]);
    }
  }

  int negative_vertex() const {
    for (int i = 0; i < call_.vertices; ++i) {
      if (distance_[static_cast<std::size_t>(i) * (size_ + 1)] < 0) return i;
    }
    return -1;
  }

  // The plain algorithm within a block of the diagonal.
  void close(int k) const {
    const Square d = at(k, k);
    for (int via = 0; via < side; ++via) {
      for (int i = 0; i < side; ++i) {
        const float to_via = d.distance[i * d.stride + via];
        for (int j = 0; j < side; ++j) {
          const float candidate = to_via + d.distance[via * d.stride + j];
          float& best = d.distance[i * d.stride + j];
          if (d.next != nullptr && candidate < best) d.next[i * d.stride + j] = d.next[i * d.stride + via];
          best = candidate < best ? candidate : best;
        }
      }
    }
  }

  void min_plus(const Square& a, const Square& b, const Square& c) const {
    MinPlusArgs args;
    args.m = args.n = args.k = side;
    args.a = a.distance;
    args.a_stride = a.stride;
    args.next_a = a.next;
    args.b = b.distance;
    args.b_stride = b.stride;
    args.c = c.distance;
    args.c_stride = c.stride;
    args.next_c = c.next;
    kernels_.min_plus(args);
  }

  // A closed block of the diagonal times what the block was, so the product may not see its own output.
  Square copy(const Square& from, int slot) const {
    const std::size_t block = std::size_t{side} * side;
    float* const distance = copies_ + static_cast<std::size_t>(slot) * block * (next_ != nullptr ? 2 : 1);
    const Square to{distance, next_ != nullptr ? distance + block : nullptr, side};
    for (int i = 0; i < side; ++i) {
      std::copy_n(from.distance + i * from.stride, side, to.distance + i * to.stride);
      if (next_ != nullptr) std::copy_n(from.next + i * from.stride, side, to.next + i * to.stride);
    }
    return to;
  }

  void row_block(int column, int slot) const {
    if (column == k_) return;
    const Square c = at(k_, column);
    min_plus(at(k_, k_), copy(c, slot), c);
  }

  void other_rows(int row, int slot) const {
    if (row == k_) return;
    const Square a = at(row, k_);
    min_plus(copy(a, slot), at(k_, k_), a);
    for (int column = 0; column < blocks_; ++column) {
      if (column != k_) min_plus(a, at(k_, column), at(row, column));
    }
  }

  const KernelTable& kernels_;
  ShortestPathsCall& call_;
  const std::size_t size_;
  const int blocks_;
  float* distance_;
  float* next_;
  float* copies_;
  int k_ = 0;
};

}  // namespace

std::size_t matmul_scratch_bytes(const MatmulShape& s, int width) {
  return most_scratch([&](const KernelTable& table) {
    return table.gemm_scratch_bytes(s.transpose_a, s.transpose_b, s.rows, s.columns, s.inner, width);
  });
}

void matmul(ExecutionContext& context, const MatmulCall& call) {
  CpuContext& cpu = cast(context);
  const MatmulShape& s = call.shape;
  cpu.kernels.gemm(cpu.parallel, s.transpose_a, s.transpose_b, s.rows, s.columns, s.inner, call.a,
                   s.transpose_a ? s.rows : s.inner, call.b, s.transpose_b ? s.inner : s.columns, nullptr, call.c,
                   s.columns, call.scratch);
}

std::size_t shortest_paths_scratch_bytes(int vertices, bool with_next, int width) {
  return Paths::scratch_floats(vertices, with_next, width) * sizeof(float);
}

void shortest_paths(ExecutionContext& context, ShortestPathsCall& call) {
  CpuContext& cpu = cast(context);
  Paths(cpu.kernels, call).run(cpu.parallel);
}

}  // namespace convsweep::cpu
