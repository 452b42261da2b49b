#include "emulator/tiles.h"

#include "backend/cuda/product.h"

namespace convsweep::emulator::probe {

using namespace convsweep::emulated;

void tiled_product(int tm, int tn, int rows, int columns, int depth, const float* a, const float* b, float* c) {
  emulator::CudaContext context(nullptr);
  ProductShape shape{rows, columns, depth};
  shape.split_depth = depth;
  const Strided<true> left{{a, 0}, depth, 1};
  const Strided<false> right{{b, 0}, 1, columns};
  const Store out{{c, 0}, columns, 0, 0, {}, rows};
  if (tm == 1) launch_product<1, 4>(context, LaneSet{}, shape, left, right, out);
  if (tm == 2) launch_product<2, 2>(context, LaneSet{}, shape, left, right, out);
  if (tm == 4 && tn == 2) launch_product<4, 2>(context, LaneSet{}, shape, left, right, out);
  if (tm == 4 && tn == 4) launch_product<4, 4>(context, LaneSet{}, shape, left, right, out);
}

}  // namespace convsweep::emulator::probe
