// The register tile under every matrix product: MR rows by NV vectors of C, accumulated over k.
//
// Guarantees: each element of C is acc = fma(a_k, b_k, acc) for k ascending, from 0 or from what C holds (a later block
// of k), then + bias with the last block. Tile sizes therefore never change a byte. Not here: blocking
// (kernels_impl_product.h).
#pragma once

#include <utility>

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// A range of k of B as it lies in memory; see TileArgs::b.
struct Operand {
  const float* b = nullptr;
  Index stride = 0;
  const Index* offset = nullptr;
  Index shift = 0;
};

struct TileArgs {
  int depth = 0;
  // kRows: a[row * a_stride + k]. kColumns: a[k * a_stride + row].
  const float* a = nullptr;
  Index a_stride = 0;
  // Strided: b[k * b_stride + column]. With a table: b[b_offset[k] + b_shift + column].
  const float* b = nullptr;
  Index b_stride = 0;
  const Index* b_offset = nullptr;
  Index b_shift = 0;
  float* c = nullptr;
  Index c_stride = 0;
  // Bias of the tile's rows; null unless this is the last block of k and there is a bias.
  const float* bias = nullptr;
  // Cut off at 0 in the end; only with the last block of k.
  bool relu = false;
  // Start from 0 instead of from C.
  bool first = false;
  // Lanes of the last vector that C has.
  int last_lanes = kLanes;
};
using TileFn = void (*)(const TileArgs&);

// How A and B are addressed: A by rows or by columns with a strided B, or A by columns with a table for B.
enum class TileKind { rows, columns, table };

// acc[i][j] = fma(a[i][k], b[k * b_stride + column], acc[i][j]) for k ascending.
template <int MR, int NV>
CONVSWEEP_INLINE void add_products(Vec (&acc)[MR][NV], const float* const (&a)[MR], Index depth, const float* b,
                                   Index b_stride) {
  for (Index k = 0; k < depth; ++k) {
    Vec bv[NV];
#pragma GCC unroll 16
    for (int j = 0; j < NV; ++j) bv[j] = load(b + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec av = Vec::of(a[i][k]);
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
    b += b_stride;
  }
}

template <int MR, int NV, TileKind kind>
void tile(const TileArgs& args) {
  Vec acc[MR][NV];
  const Mask last = first_lanes(args.last_lanes);
  float* const c = args.c;
  const Index c_stride = args.c_stride;
  if (args.first) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) acc[i][j] = Vec::zero();
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < NV - 1; ++j) acc[i][j] = load(c + i * c_stride + j * kLanes);
      acc[i][NV - 1] = load(c + i * c_stride + (NV - 1) * kLanes, last);
    }
  }

  const int depth = args.depth;
  const float* b = args.b;
  const Index b_stride = args.b_stride;
  if constexpr (kind == TileKind::rows) {
    const float* a[MR];
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) a[i] = args.a + i * args.a_stride;
    add_products<MR, NV>(acc, a, depth, b, b_stride);
  } else {
    const float* a = args.a;
    const Index a_stride = args.a_stride;
    const Index* const offset = args.b_offset;
    const Index shift = args.b_shift;
    for (Index k = 0; k < depth; ++k) {
      const float* bk = b;
      if constexpr (kind == TileKind::table) bk = b + (offset[k] + shift);
      Vec bv[NV];
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) bv[j] = load(bk + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < MR; ++i) {
        const Vec av = Vec::of(a[i]);
#pragma GCC unroll 16
        for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
      }
      a += a_stride;
      if constexpr (kind != TileKind::table) b += b_stride;
    }
  }

  if (args.bias != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
      const Vec bias = Vec::of(args.bias[i]);
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) acc[i][j] = acc[i][j] + bias;
    }
  }
  if (args.relu) {
    const Vec zero = Vec::zero();
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
      for (int j = 0; j < NV; ++j) acc[i][j] = select(less(acc[i][j], zero), zero, acc[i][j]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 16
    for (int j = 0; j < NV - 1; ++j) store(c + i * c_stride + j * kLanes, acc[i][j]);
    store(c + i * c_stride + (NV - 1) * kLanes, acc[i][NV - 1], last);
  }
}

// Which tiles exist: as many accumulators as the registers hold beside NV vectors of B and one broadcast of A.
// Row-major A needs a pointer a row, so those tiles are lower.
#if defined(__AVX512F__)
inline constexpr int kMaxVectors = 6, kRegistersPerVec = 1;
inline constexpr int kMaxRows[kMaxVectors] = {14, 14, 8, 6, 5, 4};
#elif defined(__AVX2__)
inline constexpr int kMaxVectors = 3, kRegistersPerVec = 2;
inline constexpr int kMaxRows[kMaxVectors] = {6, 2, 1};
#else
inline constexpr int kMaxVectors = 1, kRegistersPerVec = 4;
inline constexpr int kMaxRows[kMaxVectors] = {4};
#endif
inline constexpr int kMaxRowMajorRows = 8;
inline constexpr int kLargestRows = kMaxRows[0];

constexpr int max_tile_rows(TileKind kind, int vectors) {
  const int rows = kMaxRows[vectors - 1];
  return kind == TileKind::rows && rows > kMaxRowMajorRows ? kMaxRowMajorRows : rows;
}

template <TileKind kind>
struct TileTable {
  TileFn fn[kLargestRows][kMaxVectors];

  template <int MR, int NV>
  static constexpr TileFn pick() {
    if constexpr (MR <= max_tile_rows(kind, NV)) {
      return &tile<MR, NV, kind>;
    } else {
      return nullptr;
    }
  }
  template <int MR, int... NV>
  static constexpr void fill_row(TileTable& t, std::integer_sequence<int, NV...>) {
    ((t.fn[MR][NV] = pick<MR + 1, NV + 1>()), ...);
  }
  template <int... MR>
  static constexpr TileTable make(std::integer_sequence<int, MR...>) {
    TileTable t{};
    (fill_row<MR>(t, std::make_integer_sequence<int, kMaxVectors>{}), ...);
    return t;
  }
};
template <TileKind kind>
inline constexpr TileTable<kind> kTiles = TileTable<kind>::make(std::make_integer_sequence<int, kLargestRows>{});

inline TileFn tile_function(TileKind kind, int rows, int vectors) {
  switch (kind) {
    case TileKind::rows:
      return kTiles<TileKind::rows>.fn[rows - 1][vectors - 1];
    case TileKind::columns:
      return kTiles<TileKind::columns>.fn[rows - 1][vectors - 1];
    default:
      return kTiles<TileKind::table>.fn[rows - 1][vectors - 1];
  }
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
