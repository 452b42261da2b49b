#include "emulator/tiles.h"

#include "backend/cuda/product.h"

namespace convsweep::emulator::probe {

using namespace convsweep::emulated;

namespace {

template <int tm, int tn, class B>
void with_tile(const ProductShape& shape, const Strided<true>& left, const B& right, const Store& out) {
  emulator::CudaContext context(nullptr);
  launch_product<Tile<tm, tn>>(context, LaneSet{}, shape, left, right, out);
}

template <class B>
void with_tiles(int tm, int tn, const ProductShape& shape, const Strided<true>& left, const B& right,
                const Store& out) {
  if (tn == 2) return with_tile<4, 2>(shape, left, right, out);
  if (tn == 4) return with_tile<4, 4>(shape, left, right, out);
  if (tm == 1) with_tile<1, 8>(shape, left, right, out);
  if (tm == 2) with_tile<2, 8>(shape, left, right, out);
  if (tm == 3) with_tile<3, 8>(shape, left, right, out);
  if (tm == 4) with_tile<4, 8>(shape, left, right, out);
  if (tm == 7) with_tile<7, 8>(shape, left, right, out);
  if (tm == 8) with_tile<8, 8>(shape, left, right, out);
}

}  // namespace

void tiled_product(int tm, int tn, bool fours, int rows, int columns, int depth, const float* a, const float* b,
                   float* c) {
  ProductShape shape{rows, columns, depth};
  shape.split_depth = depth;
  const Strided<true> left{{a, 0}, depth, 1};
  const Store out{{c, 0}, columns, 0, 0, {}, rows, false, fours};
  if (fours) {
    with_tiles(tm, tn, shape, left, Strided<false, 4>{{b, 0}, 1, columns}, out);
  } else {
    with_tiles(tm, tn, shape, left, Strided<false>{{b, 0}, 1, columns}, out);
  }
}

}  // namespace convsweep::emulator::probe
