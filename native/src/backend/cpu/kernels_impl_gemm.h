// Plain matrix products and the linear layer.
//
// A small A, or one under few columns, is read where it lies: by rows, or by columns when transposed. Under many
// columns it is packed first. B is packed by panels (transposed on the way where asked), or read in place when there
// are so few rows of C that packing would cost more than it saves.
#pragma once

#include "kernels_impl_product.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// Columns of C from which packing A pays.
inline constexpr int kPackColumns = 256;

// B[k * stride + column], or B[column * stride + k] when transposed.
struct MatrixSource {
  const float* b;
  Index stride;
  bool transposed;
  bool few_rows;
  int depth;
  Index columns;
  Index width;

  struct Panel {
    Index column;
    int columns;
  };
  Index panels() const { return ceil_div(columns, width); }
  Panel panel(Index i) const { return {i * width, static_cast<int>(smaller(width, columns - i * width))}; }
  int first(const Panel&) const { return 0; }
  int last(const Panel&) const { return depth; }
  bool in_place(const Panel& panel) const { return few_rows && !transposed && panel.columns % kLanes == 0; }

  template <class F>
  void pieces(const Panel& panel, int low, int high, F&& f) const {
    Operand operand;
    operand.b = transposed ? b + panel.column * stride + low : b + low * stride + panel.column;
    operand.stride = stride;
    f(low, high, operand);
  }

  void pack(const Panel& panel, const Operand& operand, int k0, int k1, float* to, int to_width) const {
    if (!transposed) {
      const float* from = operand.b;
      for (int k = k0; k < k1; ++k, to += to_width, from += stride) {
        copy_floats(to, from, panel.columns);
        for (int i = panel.columns; i < to_width; ++i) to[i] = 0.0F;
      }
      return;
    }
    for (int group = 0; group < to_width; group += kLanes) {
      const int here = smaller(kLanes, panel.columns - group);
      const float* from = operand.b + group * stride;
      float* out = to + group;
      int k = 0;
      if (here == kLanes) {
        for (; k + kLanes <= k1 - k0; k += kLanes, out += kLanes * to_width) transpose16(from + k, stride, out, to_width);
        for (; k + 4 <= k1 - k0; k += 4, out += 4 * to_width) {
          Vec v[4];
          load_transposed(from + k, stride, v);
#pragma GCC unroll 4
          for (int j = 0; j < 4; ++j) store(out + j * to_width, v[j]);
        }
      }
      for (; k < k1 - k0; ++k, out += to_width) {
        for (int i = 0; i < kLanes; ++i) out[i] = i < here ? from[i * stride + k] : 0.0F;
      }
    }
  }
};

struct GemmPlan {
  Layout layout;
  ProductPlan product;
  std::size_t packed_bytes = 0;

  GemmPlan(bool trans_a, int m, int n, int k) {
    layout = n >= kPackColumns ? Layout::packed : trans_a ? Layout::columns : Layout::rows;
    const Runs runs{n, 1};
    product = plan_product(layout, m, k, &runs, 1);
    if (layout == Layout::packed) {
      packed_bytes = aligned_bytes(static_cast<std::size_t>(m) * static_cast<std::size_t>(k) * sizeof(float));
    }
  }
};

inline std::size_t gemm_scratch_bytes(bool trans_a, bool, int m, int n, int k, int width) {
  const GemmPlan plan(trans_a, m, n, k);
  return plan.packed_bytes + panel_bytes(plan.product) * static_cast<std::size_t>(width);
}

inline void gemm(Parallel& parallel, bool trans_a, bool trans_b, int m, int n, int k, const float* a, std::int64_t lda,
                 const float* b, std::int64_t ldb, const float* row_bias, bool relu, float* c, std::int64_t ldc,
                 void* scratch) {
  const GemmPlan plan(trans_a, m, n, k);
  char* const memory = static_cast<char*>(scratch);
  Product p;
  p.m = m;
  p.k = k;
  p.a = a;
  p.a_stride = lda;
  p.layout = plan.layout;
  p.c = c;
  p.c_stride = ldc;
  p.bias = row_bias;
  p.relu = relu;
  if (plan.layout == Layout::packed) {
    float* const packed = reinterpret_cast<float*>(memory);
    if (trans_a) {
      pack_rows(parallel, m, k, plan.product, packed, [a, lda](int row, int i) { return a[i * lda + row]; });
    } else {
      pack_rows(parallel, m, k, plan.product, packed, [a, lda](int row, int i) { return a[row * lda + i]; });
    }
    p.a = packed;
  }
  const MatrixSource source{b, ldb, trans_b, plan.product.tiles <= 3, k, n, Index{plan.product.vectors} * kLanes};
  product(parallel, p, plan.product, source, static_cast<double>(m) * n * k,
          reinterpret_cast<float*>(memory + plan.packed_bytes));
}

inline void gemm(Parallel& parallel, bool trans_a, bool trans_b, int m, int n, int k, const float* a, std::int64_t lda,
                 const float* b, std::int64_t ldb, const float* row_bias, float* c, std::int64_t ldc, void* scratch) {
  gemm(parallel, trans_a, trans_b, m, n, k, a, lda, b, ldb, row_bias, false, c, ldc, scratch);
}

inline std::size_t linear_scratch_bytes(const LinearShape& s, int width) {
  return larger(larger(gemm_scratch_bytes(false, false, s.out_features, s.batch, s.in_features, width),
                       gemm_scratch_bytes(true, false, s.in_features, s.batch, s.out_features, width)),
                gemm_scratch_bytes(false, true, s.out_features, s.in_features, s.batch, width));
}

inline void linear_forward(Parallel& parallel, const LinearShape& s, const float* x, const float* weights,
                           const float* bias, float* y, void* scratch) {
  gemm(parallel, false, false, s.out_features, s.batch, s.in_features, weights, s.in_features, x, s.batch, bias, s.relu, y,
       s.batch, scratch);
}

inline void linear_backward_data(Parallel& parallel, const LinearShape& s, const float* dy, const float* weights,
                                 float* dx, void* scratch) {
  gemm(parallel, true, false, s.in_features, s.batch, s.out_features, weights, s.in_features, dy, s.batch, nullptr, false, dx,
       s.batch, scratch);
}

inline void linear_backward_weights(Parallel& parallel, const LinearShape& s, const float* x, const float* dy,
                                    float* dweights, void* scratch) {
  gemm(parallel, false, true, s.out_features, s.in_features, s.batch, dy, s.batch, x, s.batch, nullptr, false, dweights,
       s.in_features, scratch);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
