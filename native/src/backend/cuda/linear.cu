// linear: a product for each lane.
#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"
#include "backend/cuda/sums.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// The weight's gradient: [out][in], summed over the images.
ProductShape weights_shape(const LayerShape& s, int n) { return {s.out.channels, s.in.channels, n}; }

}  // namespace

// y[out][n] = weight[out][in] x[in][n] + bias[out]
void linear_forward(ExecutionContext& context, const LayerCall& call) {
  const int in = call.shape.in.channels, out = call.shape.out.channels, n = call.n;
  product(context, call.lanes, {out, n, in}, Strided<true>{call.weight, in, 1}, Strided<false>{call.x, 1, n},
          Store{call.y, n, 0, 0, call.shape.bias ? call.bias : Lanes<const float>{}, out});
}

void linear_backward(ExecutionContext& context, const LayerCall& call) {
  const int in = call.shape.in.channels, out = call.shape.out.channels, n = call.n;
  if (call.dbias) bias_gradient(context, call.lanes, out, n, call.dy, call.dbias);
  if (call.dweight) {
    deep_product(context, call.lanes, weights_shape(call.shape, n), Strided<true>{call.dy, n, 1},
                 Strided<true>{call.x, n, 1}, call.dweight, call.scratch);
  }
  if (call.dx) {
    product(context, call.lanes, {in, n, out}, Strided<false>{call.weight, 1, in}, Strided<false>{call.dy, 1, n},
            Store{call.dx, n, 0, 0, {}, in});
  }
}

std::size_t linear_scratch_bytes(const LayerShape& s, int n, int) { return split_bytes(weights_shape(s, n)); }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
