// Plain matrix products and the linear layer.
//
// A is read where it lies: a row-major A as rows, a transposed one as columns. B is packed by panels (transposed on the way
// where asked), or read in place when there are so few rows of C that packing would cost more than it saves.
#pragma once

#include "kernels_impl_product.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// B[k * stride + column], or B[column * stride + k] when transposed.
struct MatrixSource {
  const float* b;
  Index stride;
  bool transposed;
  bool in_place;

  bool direct(Index, Index column, int columns, Direct& d) const {
    if (!in_place || columns % kLanes != 0) return false;
    d.base = b + column;
    d.stride = stride;
    return true;
  }

  void pack(int k0, int k1, Index, Index column, int columns, float* to, int width) const {
    if (!transposed) {
      for (int k = k0; k < k1; ++k, to += width) {
        copy_floats(to, b + k * stride + column, columns);
        for (int i = columns; i < width; ++i) to[i] = 0.0F;
      }
      return;
    }
    for (int group = 0; group < width; group += kLanes) {
      const int here = smaller(kLanes, columns - group);
      const float* from = b + (column + group) * stride;
      float* out = to + group;
      int k = k0;
      if (here == kLanes) {
        for (; k + 4 <= k1; k += 4, out += 4 * width) {
          Vec v[4];
          load_transposed(from + k, stride, v);
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j) store(out + j * width, v[j]);
        }
      }
      for (; k < k1; ++k, out += width) {
        for (int i = 0; i < kLanes; ++i) out[i] = i < here ? from[i * stride + k] : 0.0F;
      }
    }
  }
};

inline std::size_t gemm_scratch_bytes(bool trans_a, bool, int m, int n, int k, int width) {
  const ProductPlan plan = plan_product(trans_a ? Layout::columns : Layout::rows, m, k, n);
  return panel_bytes(plan) * static_cast<std::size_t>(width);
}

inline void gemm(Parallel& parallel, bool trans_a, bool trans_b, int m, int n, int k, const float* a, std::int64_t lda,
                 const float* b, std::int64_t ldb, const float* row_bias, float* c, std::int64_t ldc, void* scratch) {
  Product p;
  p.m = m;
  p.k = k;
  p.run = n;
  p.a = a;
  p.a_stride = lda;
  p.layout = trans_a ? Layout::columns : Layout::rows;
  p.c = c;
  p.c_stride = ldc;
  p.bias = row_bias;
  const ProductPlan plan = plan_product(p.layout, m, k, n);
  const MatrixSource source{b, ldb, trans_b, !trans_b && plan.tiles <= 3};
  product(parallel, p, plan, source, static_cast<float*>(scratch));
}

inline std::size_t linear_scratch_bytes(const LinearShape& s, int width) {
  return larger(larger(gemm_scratch_bytes(false, false, s.out_features, s.batch, s.in_features, width),
                       gemm_scratch_bytes(true, false, s.in_features, s.batch, s.out_features, width)),
                gemm_scratch_bytes(false, true, s.out_features, s.in_features, s.batch, width));
}

inline void linear_forward(Parallel& parallel, const LinearShape& s, const float* x, const float* weights,
                           const float* bias, float* y, void* scratch) {
  gemm(parallel, false, false, s.out_features, s.batch, s.in_features, weights, s.in_features, x, s.batch, bias, y,
       s.batch, scratch);
}

inline void linear_backward_data(Parallel& parallel, const LinearShape& s, const float* dy, const float* weights,
                                 float* dx, void* scratch) {
  gemm(parallel, true, false, s.in_features, s.batch, s.out_features, weights, s.in_features, dy, s.batch, nullptr, dx,
       s.batch, scratch);
}

inline void linear_backward_weights(Parallel& parallel, const LinearShape& s, const float* x, const float* dy,
                                    float* dweights, void* scratch) {
  gemm(parallel, false, true, s.out_features, s.in_features, s.batch, dy, s.batch, x, s.batch, nullptr, dweights,
       s.in_features, scratch);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
