// Winograd's transforms along one axis, sixteen images at a time.
//
// A convolution with R taps of stride 1 is taken in tiles of M outputs and N = M + R - 1 inputs: transform the inputs of a
// tile and the kernel, multiply element by element, transform back. That is N multiplications a tile and axis where the
// definition takes R M. The polynomials are evaluated at N - 1 numbers and at infinity:
//
//   N = 6   0, 1, -1, 1/2, -2, which loses far less precision than the better known 0, 1, -1, 2, -2
//   N = 8   0, 1, -1, 1/2, -1/2, 2, -2; of all sets of zero and three pairs +-p it loses least for 5 taps
//
// What they lose beside the plain sum stands in docs/decisions/0007.
//
// Guarantees: elementwise over images, in the order written here, so the same bytes from every instruction set.
// S. Winograd 1980; A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2015; the points: B.
// Barabasz, A. Anderson, K. Soodhalter, D. Gregg, "Error Analysis and Improving the Accuracy of Winograd Convolution for
// Deep Neural Networks", 2018.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// The vectors of an axis stay in registers where there are vectors. Plain code keeps its loops, or the compiler takes
// minutes.
#if defined(__AVX2__)
#define CONVSWEEP_TILE_INLINE CONVSWEEP_INLINE
#define CONVSWEEP_TILE_UNROLL _Pragma("GCC unroll 8")
#else
#define CONVSWEEP_TILE_INLINE __attribute__((noinline))
#define CONVSWEEP_TILE_UNROLL _Pragma("GCC unroll 1")
#endif

CONVSWEEP_INLINE Vec times(float a, Vec x) { return Vec::of(a) * x; }
CONVSWEEP_INLINE Vec plus(float a, Vec x, Vec y) { return fma(Vec::of(a), x, y); }

// Inputs of a tile. Rows of the matrix B^T are the products of (z - point) over the other points.
template <int N>
struct InputTransform;
// The transposed InputTransform: from the gradient of a transformed tile to that of its inputs.
template <int N>
struct InputGradient;
// From the products of a tile to its outputs.
template <int N, int R>
struct OutputTransform;
// The transposed OutputTransform: from the gradient of a tile's outputs to that of its products.
template <int N, int R>
struct OutputGradient;
// The taps of a kernel.
template <int N, int R>
struct KernelTransform;
// The transposed KernelTransform.
template <int N, int R>
struct KernelGradient;

template <>
struct InputTransform<6> {
  static constexpr int in = 6, out = 6;
  static CONVSWEEP_INLINE void apply(const Vec (&d)[6], Vec (&t)[6]) {
    const Vec p = d[3] - d[1], q = d[4] - d[2];
    t[0] = plus(1.5F, p, plus(-2.0F, d[2], d[0] + d[4]));
    t[1] = plus(2.5F, d[3], plus(0.5F, d[2], d[4] - d[1]));
    t[2] = plus(0.5F, d[3], plus(-2.5F, d[2], d[4] + d[1]));
    t[3] = plus(2.0F, p, q);
    t[4] = plus(-0.5F, p, q);
    t[5] = plus(1.5F, q, plus(-2.0F, d[3], d[1] + d[5]));
  }
};

template <>
struct InputGradient<6> {
  static constexpr int in = 6, out = 6;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[6], Vec (&d)[6]) {
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

template <int R>
struct OutputTransform<6, R> {
  static constexpr int M = 7 - R, in = 6, out = M;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[6], Vec (&y)[M]) {
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

template <int R>
struct OutputGradient<6, R> {
  static constexpr int M = 7 - R, in = M, out = 6;
  static CONVSWEEP_INLINE void apply(const Vec (&y)[M], Vec (&t)[6]) {
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

// The divisors of Lagrange's formula for six points at 1, -1, 1/2 and -2; at 0 it is 1.
inline constexpr float kAtOne = 1.0F / 3, kAtMinusOne = -1.0F / 3, kAtHalf = -16.0F / 15, kAtMinusTwo = 1.0F / 15;

template <int R>
struct KernelTransform<6, R> {
  static constexpr int in = R, out = 6;
  static CONVSWEEP_INLINE void apply(const Vec (&g)[R], Vec (&t)[6]) {
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

template <int R>
struct KernelGradient<6, R> {
  static constexpr int in = 6, out = R;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[6], Vec (&g)[R]) {
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

// Eight points are 0, three pairs p and -p, infinity: element 1 + 2 i and 2 + 2 i are those of pair i. What even and odd
// powers yield is worked out once for both.
inline constexpr int kPairs = 3;
inline constexpr float kPoint[kPairs] = {1.0F, 0.5F, 2.0F};
// The product of (z^2 - q^2) over the other two pairs is z^4 + kMiddle z^2 + kLast; that over all three is
// z^6 - kAll z^4 + kAll z^2 - 1.
inline constexpr float kMiddle[kPairs] = {-4.25F, -5.0F, -1.25F}, kLast[kPairs] = {1.0F, 4.0F, 0.25F}, kAll = 5.25F;
// Divisors of Lagrange's formula, the same for p and -p; at 0 it is 1.
inline constexpr float kAtPair[kPairs] = {-2.0F / 9, 32.0F / 45, 1.0F / 90};

constexpr float power(float p, int exponent) { return exponent == 0 ? 1.0F : p * power(p, exponent - 1); }

template <>
struct InputTransform<8> {
  static constexpr int in = 8, out = 8;
  static CONVSWEEP_INLINE void apply(const Vec (&d)[8], Vec (&t)[8]) {
    t[0] = plus(kAll, d[4] - d[2], d[0] - d[6]);
    t[7] = plus(kAll, d[3] - d[5], d[7] - d[1]);
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const Vec even = plus(kLast[i], d[2], plus(kMiddle[i], d[4], d[6]));
      const Vec odd = plus(kLast[i], d[1], plus(kMiddle[i], d[3], d[5]));
      t[1 + 2 * i] = plus(kPoint[i], odd, even);
      t[2 + 2 * i] = plus(-kPoint[i], odd, even);
    }
  }
};

template <>
struct InputGradient<8> {
  static constexpr int in = 8, out = 8;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[8], Vec (&d)[8]) {
    d[0] = t[0];
    d[2] = times(-kAll, t[0]);
    d[4] = times(kAll, t[0]);
    d[6] = times(-1.0F, t[0]);
    d[1] = times(-1.0F, t[7]);
    d[3] = times(kAll, t[7]);
    d[5] = times(-kAll, t[7]);
    d[7] = t[7];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      const Vec even = t[1 + 2 * i] + t[2 + 2 * i], odd = times(kPoint[i], t[1 + 2 * i] - t[2 + 2 * i]);
      d[1] = plus(kLast[i], odd, d[1]);
      d[2] = plus(kLast[i], even, d[2]);
      d[3] = plus(kMiddle[i], odd, d[3]);
      d[4] = plus(kMiddle[i], even, d[4]);
      d[5] = d[5] + odd;
      d[6] = d[6] + even;
    }
  }
};

template <int R>
struct OutputTransform<8, R> {
  static constexpr int M = 9 - R, in = 8, out = M;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[8], Vec (&y)[M]) {
    Vec even[kPairs], odd[kPairs];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      even[i] = t[1 + 2 * i] + t[2 + 2 * i];
      odd[i] = t[1 + 2 * i] - t[2 + 2 * i];
    }
  CONVSWEEP_TILE_UNROLL
    for (int k = 0; k < M; ++k) {
      const Vec(&of)[kPairs] = k % 2 == 0 ? even : odd;
      y[k] = plus(power(kPoint[2], k), of[2], plus(power(kPoint[1], k), of[1], of[0]));
    }
    y[0] = y[0] + t[0];
    y[M - 1] = y[M - 1] + t[7];
  }
};

template <int R>
struct OutputGradient<8, R> {
  static constexpr int M = 9 - R, in = M, out = 8;
  static CONVSWEEP_INLINE void apply(const Vec (&y)[M], Vec (&t)[8]) {
    t[0] = y[0];
    t[7] = y[M - 1];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      // The last even and odd power that there is, then down by Horner's rule.
      constexpr int e = (M - 1) / 2 * 2, o = (M - 2) / 2 * 2 + 1;
      Vec even = y[e], odd = y[o];
    CONVSWEEP_TILE_UNROLL
      for (int k = e - 2; k >= 0; k -= 2) even = plus(kPoint[i] * kPoint[i], even, y[k]);
    CONVSWEEP_TILE_UNROLL
      for (int k = o - 2; k >= 1; k -= 2) odd = plus(kPoint[i] * kPoint[i], odd, y[k]);
      t[1 + 2 * i] = plus(kPoint[i], odd, even);
      t[2 + 2 * i] = plus(-kPoint[i], odd, even);
    }
  }
};

template <int R>
struct KernelTransform<8, R> {
  static constexpr int in = R, out = 8;
  static CONVSWEEP_INLINE void apply(const Vec (&g)[R], Vec (&t)[8]) {
    // Evaluating a polynomial of R coefficients is what the transposed output transform of R outputs does.
    OutputGradient<8, 9 - R>::apply(g, t);
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      t[1 + 2 * i] = times(kAtPair[i], t[1 + 2 * i]);
      t[2 + 2 * i] = times(kAtPair[i], t[2 + 2 * i]);
    }
  }
};

template <int R>
struct KernelGradient<8, R> {
  static constexpr int in = 8, out = R;
  static CONVSWEEP_INLINE void apply(const Vec (&t)[8], Vec (&g)[R]) {
    Vec scaled[8];
    scaled[0] = t[0];
    scaled[7] = t[7];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < kPairs; ++i) {
      scaled[1 + 2 * i] = times(kAtPair[i], t[1 + 2 * i]);
      scaled[2 + 2 * i] = times(kAtPair[i], t[2 + 2 * i]);
    }
    OutputTransform<8, 9 - R>::apply(scaled, g);
  }
};

// Along both axes: down the columns, then along the rows, by way of the first-level cache. in(row, column) yields a
// vector, out(row, column, vector) takes one.
template <class T, class In, class Out>
CONVSWEEP_TILE_INLINE void transform(const In& in, const Out& out) {
  Vec between[T::out][T::in];
#pragma GCC unroll 1
  for (int j = 0; j < T::in; ++j) {
    Vec a[T::in], b[T::out];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < T::in; ++i) a[i] = in(i, j);
    T::apply(a, b);
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < T::out; ++i) between[i][j] = b[i];
  }
#pragma GCC unroll 1
  for (int i = 0; i < T::out; ++i) {
    Vec b[T::out];
    T::apply(between[i], b);
  CONVSWEEP_TILE_UNROLL
    for (int j = 0; j < T::out; ++j) out(i, j, b[j]);
  }
}

// Row `row` of it: out(column, vector).
template <class T, class In, class Out>
CONVSWEEP_TILE_INLINE void transform_row(int row, const In& in, const Out& out) {
  Vec across[T::in];
#pragma GCC unroll 1
  for (int j = 0; j < T::in; ++j) {
    Vec a[T::in], b[T::out];
  CONVSWEEP_TILE_UNROLL
    for (int i = 0; i < T::in; ++i) a[i] = in(i, j);
    T::apply(a, b);
    across[j] = b[row];
  }
  Vec b[T::out];
  T::apply(across, b);
  CONVSWEEP_TILE_UNROLL
  for (int j = 0; j < T::out; ++j) out(j, b[j]);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
