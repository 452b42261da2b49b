// The register tile under the weight gradient of a convolution: MR rows of dy against KR source lines.
//
// Guarantees: element c of a line goes to partial sum c mod 16 of its pair (row, line), rows of output in ascending
// order.
#pragma once

#include <utility>

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

struct DotArgs {
  // Row i of the tile at dy + i * dy_stride.
  const float* dy;
  Index dy_stride;
  // One source line a tap.
  const float* const* x;
  // Output rows, how far apart they lie, and how much of each. More than one only where length is the whole row.
  int rows;
  Index dy_step, x_step;
  Index length;
  // [i][j][16], read and written.
  float* acc;
};
using DotFn = void (*)(const DotArgs&);

template <int MR, int KR>
void dot_tile(const DotArgs& args) {
  Vec acc[MR][KR];
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) acc[i][j] = load(args.acc + (i * KR + j) * kLanes);
  }
  const Index length = args.length, whole = length / kLanes * kLanes;
  for (int row = 0; row < args.rows; ++row) {
    const float* dy[MR];
    const float* x[KR];
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) dy[i] = args.dy + i * args.dy_stride + row * args.dy_step;
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) x[j] = args.x[j] + row * args.x_step;
    for (Index c = 0; c < whole; c += kLanes) {
      Vec d[MR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) d[i] = load(dy[i] + c);
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) {
        const Vec s = load(x[j] + c);
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
      }
    }
    if (whole < length) {
      const Mask last = first_lanes(static_cast<int>(length - whole));
      Vec d[MR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) d[i] = load(dy[i] + whole, last);
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) {
        const Vec s = load(x[j] + whole, last);
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < KR; ++j) store(args.acc + (i * KR + j) * kLanes, acc[i][j]);
  }
}

// As many accumulators as the registers hold beside the rows of dy and one line.
#if defined(__AVX512F__)
inline constexpr int kDotRows = 5, kDotTaps = 6, kDotTapsUnderFullRows = 5;
#elif defined(__AVX2__)
inline constexpr int kDotRows = 2, kDotTaps = 3, kDotTapsUnderFullRows = 3;
#else
inline constexpr int kDotRows = 2, kDotTaps = 2, kDotTapsUnderFullRows = 2;
#endif

struct DotTable {
  DotFn fn[kDotRows][kDotTaps];

  template <int MR, int... KR>
  static constexpr void fill_row(DotTable& t, std::integer_sequence<int, KR...>) {
    ((t.fn[MR][KR] = &dot_tile<MR + 1, KR + 1>), ...);
  }
  template <int... MR>
  static constexpr DotTable make(std::integer_sequence<int, MR...>) {
    DotTable t{};
    (fill_row<MR>(t, std::make_integer_sequence<int, kDotTaps>{}), ...);
    return t;
  }
};
inline constexpr DotTable kDots = DotTable::make(std::make_integer_sequence<int, kDotRows>{});

}  // namespace convsweep::cpu::CONVSWEEP_ISA
