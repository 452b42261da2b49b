// The product of two matrices in which + is min and * is +: the inner loop of shortest paths.
//
// Guarantees: each element of C takes its candidates in ascending k and changes only for a smaller one, so tiles never
// change a byte. A candidate that is NaN (infinity minus infinity) never wins. Not here: the order of blocks
// (cpu_ops_matrix.cpp).
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Rows and vectors of C held in registers.
inline constexpr int kMinPlusRows = 4;
inline constexpr int kMinPlusVectors = 2;

template <bool with_next>
CONVSWEEP_INLINE void min_plus_tile(const MinPlusArgs& p, int row, int column) {
  constexpr int rows = kMinPlusRows, vectors = kMinPlusVectors;
  Vec c[rows][vectors], next[rows][vectors];
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      const Index at = (row + i) * p.c_stride + column + j * kLanes;
      c[i][j] = load(p.c + at);
      if constexpr (with_next) next[i][j] = load(p.next_c + at);
    }
  }
  for (int k = 0; k < p.k; ++k) {
    Vec b[vectors];
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) b[j] = load(p.b + k * p.b_stride + column + j * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i) {
      const Index from = (row + i) * p.a_stride + k;
      const Vec a = Vec::of(p.a[from]);
#pragma GCC unroll 8
      for (int j = 0; j < vectors; ++j) {
        const Vec candidate = a + b[j];
        if constexpr (with_next) {
          const Mask smaller_one = less(candidate, c[i][j]);
          next[i][j] = select(smaller_one, Vec::of(p.next_a[from]), next[i][j]);
          c[i][j] = select(smaller_one, candidate, c[i][j]);
        } else {
          c[i][j] = lower(candidate, c[i][j]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < vectors; ++j) {
      const Index at = (row + i) * p.c_stride + column + j * kLanes;
      store(p.c + at, c[i][j]);
      if constexpr (with_next) store(p.next_c + at, next[i][j]);
    }
  }
}

inline void min_plus(const MinPlusArgs& p) {
  for (int row = 0; row < p.m; row += kMinPlusRows) {
    for (int column = 0; column < p.n; column += kMinPlusVectors * kLanes) {
      if (p.next_c != nullptr) {
        min_plus_tile<true>(p, row, column);
      } else {
        min_plus_tile<false>(p, row, column);
      }
    }
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
