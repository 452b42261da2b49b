// Winograd's transforms of 6 x 6 tiles, sixteen images at a time.
//
// A convolution with an R x R kernel of stride 1 is taken in tiles of M x M outputs, M + R = 7: transform the 6 x 6
// inputs of a tile and the kernel, multiply element by element (summed over channels: a matrix product for each of the
// 36 elements), transform back. That is 36 multiplications a tile where the definition takes R^2 M^2: 4 times fewer for
// 3 x 3, 2.8 times fewer for 5 x 5. The polynomial is evaluated at 0, 1, -1, 1/2, -2 and infinity, which loses far less
// precision than the better known 0, 1, -1, 2, -2: the largest error is about three times that of the plain sum.
//
// Guarantees: elementwise over images, in the order written here, so the same bytes from every instruction set.
// S. Winograd 1980; A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; the points: B.
// Barabasz, A. Anderson, K. Soodhalter, D. Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for
// Deep Neural Networks", 2018.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Tiles stay in registers where there are vectors. Plain code keeps its loops, or the compiler takes minutes.
#if defined(__AVX2__)
#define CONVSWEEP_TILE_INLINE CONVSWEEP_INLINE
#define CONVSWEEP_TILE_UNROLL _Pragma("GCC unroll 8")
#else
#define CONVSWEEP_TILE_INLINE __attribute__((noinline))
#define CONVSWEEP_TILE_UNROLL _Pragma("GCC unroll 1")
#endif

inline constexpr int kTile = 6, kTileElements = kTile * kTile;

CONVSWEEP_INLINE Vec times(float a, Vec x) { return Vec::of(a) * x; }
CONVSWEEP_INLINE Vec plus(float a, Vec x, Vec y) { return fma(Vec::of(a), x, y); }

// Inputs of a tile, along one axis. Rows of the matrix B^T are the products of (z - point) over the other points.
struct InputTransform {
  static constexpr int in = kTile, out = kTile;
  static CONVSWEEP_INLINE void apply(const Vec (&d)[kTile], Vec (&t)[kTile]) {
    const Vec p = d[3] - d[1], q = d[4] - d[2];
    t[0] = plus(1.5F, p, plus(-2.0F, d[2], d[0] + d[4]));
    t[1] = plus(2.5F, d[3], plus(0.5F, d[2], d[4] - d[1]));
    t[2] = plus(0.5F, d[3], plus(-2.5F, d[2], d[4] + d[1]));
    t[3] = plus(2.0F, p, q);
    t[4] = plus(-0.5F, p, q);
    t[5] = plus(1.5F, q, plus(-2.0F, d[3], d[1] + d[5]));
  }
};

// The transposed InputTransform: from the gradient of a transformed tile to that of its inputs.
struct InputGradient {
  static constexpr int in = kTile, out = kTile;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[kTile], Vec (&d)[kTile]) {
    const Vec p = plus(1.5F, t[0], plus(2.0F, t[3], times(-0.5F, t[4])));
    const Vec q = plus(1.5F, t[5], t[3] + t[4]);
    d[0] = t[0];
    d[1] = (t[2] - t[1]) + (t[5] - p);
    d[2] = plus(-2.0F, t[0], plus(0.5F, t[1], plus(-2.5F, t[2], times(-1.0F, q))));
    d[3] = plus(-2.0F, t[5], plus(2.5F, t[1], plus(0.5F, t[2], p)));
    d[4] = (t[0] + t[1]) + (t[2] + q);
    d[5] = t[5];
  }
};

// From the products of a tile to its M outputs along one axis.
template <int M>
struct OutputTransform {
  static constexpr int in = kTile, out = M;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[kTile], Vec (&y)[M]) {
    const Vec even = t[1] + t[2], odd = t[1] - t[2];
    y[0] = (t[0] + even) + (t[3] + t[4]);
    if constexpr (M == 2) {
      y[1] = plus(0.5F, t[3], plus(-2.0F, t[4], odd)) + t[5];
    } else {
      y[1] = plus(0.5F, t[3], plus(-2.0F, t[4], odd));
      y[2] = plus(0.25F, t[3], plus(4.0F, t[4], even));
      y[3] = plus(0.125F, t[3], plus(-8.0F, t[4], odd)) + t[5];
    }
  }
};

// The transposed OutputTransform: from the gradient of a tile's outputs to that of its products.
template <int M>
struct OutputGradient {
  static constexpr int in = M, out = kTile;
  static CONVSWEEP_INLINE void apply(const Vec (&y)[M], Vec (&t)[kTile]) {
    t[0] = y[0];
    t[5] = y[M - 1];
    if constexpr (M == 2) {
      t[1] = y[0] + y[1];
      t[2] = y[0] - y[1];
      t[3] = plus(0.5F, y[1], y[0]);
      t[4] = plus(-2.0F, y[1], y[0]);
    } else {
      const Vec even = y[0] + y[2], odd = y[1] + y[3];
      t[1] = even + odd;
      t[2] = even - odd;
      t[3] = plus(0.5F, plus(0.25F, y[3], y[1]), plus(0.25F, y[2], y[0]));
      t[4] = plus(-2.0F, plus(4.0F, y[3], y[1]), plus(4.0F, y[2], y[0]));
    }
  }
};

// The divisors of Lagrange's formula at 1, -1, 1/2 and -2; at 0 it is 1.
inline constexpr float kAtOne = 1.0F / 3, kAtMinusOne = -1.0F / 3, kAtHalf = -16.0F / 15, kAtMinusTwo = 1.0F / 15;

// R taps of a kernel along one axis.
template <int R>
struct KernelTransform {
  static constexpr int in = R, out = kTile;
  static CONVSWEEP_INLINE void apply(const Vec (&g)[R], Vec (&t)[kTile]) {
    Vec even = g[0] + g[2], odd = g[1];
    if constexpr (R == 5) {
      even = even + g[4];
      odd = odd + g[3];
    }
    Vec half = g[R - 1], minus_two = g[R - 1];
  CONVSWEEP_TILE_UNROLL
    for (int i = R - 2; i >= 0; --i) {
      half = plus(0.5F, half, g[i]);
      minus_two = plus(-2.0F, minus_two, g[i]);
    }
    t[0] = g[0];
    t[1] = times(kAtOne, even + odd);
    t[2] = times(kAtMinusOne, even - odd);
    t[3] = times(kAtHalf, half);
    t[4] = times(kAtMinusTwo, minus_two);
    t[5] = g[R - 1];
  }
};

// The transposed KernelTransform.
template <int R>
struct KernelGradient {
  static constexpr int in = kTile, out = R;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[kTile], Vec (&g)[R]) {
    const Vec one = times(kAtOne, t[1]), minus_one = times(kAtMinusOne, t[2]);
    const Vec even = one + minus_one, odd = one - minus_one;
    Vec half = times(kAtHalf, t[3]), minus_two = times(kAtMinusTwo, t[4]);
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < R; ++i) {
      g[i] = (half + minus_two) + (i % 2 == 0 ? even : odd);
      half = times(0.5F, half);
      minus_two = times(-2.0F, minus_two);
    }
    g[0] = g[0] + t[0];
    g[R - 1] = g[R - 1] + t[5];
  }
};

// Along both axes: down the columns, then along the rows.
template <class T>
CONVSWEEP_TILE_INLINE void transform(const Vec (&in)[T::in][T::in], Vec (&out)[T::out][T::out]) {
  Vec between[T::out][T::in];
  CONVSWEEP_TILE_UNROLL
  for (int j = 0; j < T::in; ++j) {
    Vec a[T::in], b[T::out];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < T::in; ++i) a[i] = in[i][j];
    T::apply(a, b);
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < T::out; ++i) between[i][j] = b[i];
  }
  CONVSWEEP_TILE_UNROLL
  for (int i = 0; i < T::out; ++i) T::apply(between[i], out[i]);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
