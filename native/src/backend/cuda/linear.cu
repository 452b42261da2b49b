// linear: a product for each lane.
#include <algorithm>
#include <type_traits>

#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"
#include "backend/cuda/sums.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// The weight's gradient: [out][in], summed over the images.
ProductShape weights_shape(const LayerShape& s, int n) { return with_splits({s.out.channels, s.in.channels, n}, 128); }

// Of the images, where they come in fours.
template <class Use>
void over_images(int n, const Lanes<const float>& a, const Lanes<const float>& b, const Use& use) {
  if (n % 4 == 0 && in_fours(a) && in_fours(b)) {
    use(std::integral_constant<int, 4>{});
  } else {
    use(std::integral_constant<int, 1>{});
  }
}

// The splits do not depend on the number of images: an image's outputs are the same in every batch.
ProductShape outputs_shape(const LayerShape& s, int n) {
  ProductShape p = with_splits({s.out.channels, 1, s.in.channels}, 256);
  p.columns = n;
  return p;
}

}  // namespace

// y[out][n] = weight[out][in] x[in][n] + bias[out]
void linear_forward(ExecutionContext& context, const LayerCall& call) {
  const int in = call.shape.in.channels, n = call.n;
  over_images(n, call.x, call.y, [&](auto width) {
    deep_product(context, call.lanes, outputs_shape(call.shape, n), Strided<true>{call.weight, in, 1},
                 Strided<false, decltype(width)::value>{call.x, 1, n}, call.y, call.scratch,
                 call.shape.bias ? call.bias : Lanes<const float>{}, call.fusion.relu_behind);
  });
}

void linear_backward(ExecutionContext& context, const LayerCall& call) {
  const int in = call.shape.in.channels, out = call.shape.out.channels, n = call.n;
  const Lanes<const float> dy = bias_gradient(context, call, out, n);
  over_images(n, call.x, dy, [&](auto width) {
    constexpr int w = decltype(width)::value;
    if (call.dweight) {
      deep_product(context, call.lanes, weights_shape(call.shape, n), Strided<true, w>{dy, n, 1},
                   Strided<true, w>{call.x, n, 1}, call.dweight, call.scratch);
    }
    if (call.dx) {
      product(context, call.lanes, {in, n, out}, Strided<false>{call.weight, 1, in}, Strided<false, w>{dy, 1, n},
              Store{call.dx, n, 0, 0, {}, in, false, w == 4 && in_fours(call.dx)});
    }
  });
}

std::size_t linear_scratch_bytes(const LayerShape& s, int n, int) {
  return std::max({split_bytes(weights_shape(s, n)), split_bytes(outputs_shape(s, n)), chunk_bytes(s.out.channels, n)});
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
