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
  const Index length = args.length, whole = length / kLanes * kLanes;
  for (int part = 0; part < kLanes; part += kPartLanes) {
    Part acc[MR][KR];
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) acc[i][j] = load_part(args.acc + (i * KR + j) * kLanes + part);
    }
    for (int row = 0; row < args.rows; ++row) {
      const float* dy[MR];
      const float* x[KR];
#pragma GCC unroll 8
      for (int i = 0; i < MR; ++i) dy[i] = args.dy + i * args.dy_stride + row * args.dy_step + part;
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) x[j] = args.x[j] + row * args.x_step + part;
      for (Index c = 0; c < whole; c += kLanes) {
        Part d[MR];
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) d[i] = load_part(dy[i] + c);
#pragma GCC unroll 8
        for (int j = 0; j < KR; ++j) {
          const Part s = load_part(x[j] + c);
#pragma GCC unroll 8
          for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
        }
      }
      if (whole < length) {
        const int lanes = static_cast<int>(length - whole) - part;
        Part d[MR];
#pragma GCC unroll 8
        for (int i = 0; i < MR; ++i) d[i] = load_part(dy[i] + whole, lanes);
#pragma GCC unroll 8
        for (int j = 0; j < KR; ++j) {
          const Part s = load_part(x[j] + whole, lanes);
#pragma GCC unroll 8
          for (int i = 0; i < MR; ++i) acc[i][j] = fma(d[i], s, acc[i][j]);
        }
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; ++i) {
#pragma GCC unroll 8
      for (int j = 0; j < KR; ++j) store_part(args.acc + (i * KR + j) * kLanes + part, acc[i][j]);
    }
  }
}

// As many accumulators as the registers hold beside the rows of dy and one line. Sixteen sums of a pair take two
// registers on AVX2: they are worked on one half after the other, which takes 7 loads for 12 multiply-adds, where whole
// ones take 16.
#if defined(__AVX512F__)
inline constexpr int kDotRows = 5, kDotTaps = 6, kDotTapsUnderFullRows = 5;
#elif defined(__AVX2__)
inline constexpr int kDotRows = 3, kDotTaps = 4, kDotTapsUnderFullRows = 4;
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
