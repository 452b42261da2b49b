// matmul: the product of layers, on two matrices of any layout. Bytes as on the CPU.
#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// Neighbours along the depth are neighbours in memory where a is as it stands and b is transposed.
template <bool a_along, bool b_along>
void multiply(ExecutionContext& context, const MatmulCall& call) {
  const MatmulShape& s = call.shape;
  const Lanes<const float> a{call.a, 0}, b{call.b, 0};
  product(context, LaneSet{}, {s.rows, s.columns, s.inner},
          Strided<a_along>{a, a_along ? s.inner : 1, a_along ? 1 : s.rows},
          Strided<b_along>{b, b_along ? s.inner : 1, b_along ? 1 : s.columns},
          Store{{call.c, 0}, s.columns, 0, 0, {}, s.rows, false, false});
}

}  // namespace

void matmul(ExecutionContext& context, const MatmulCall& call) {
  const auto run = call.shape.transpose_a ? (call.shape.transpose_b ? multiply<false, true> : multiply<false, false>)
                                          : (call.shape.transpose_b ? multiply<true, true> : multiply<true, false>);
  run(context, call);
}

std::size_t matmul_scratch_bytes(const MatmulShape&, int) { return 0; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
