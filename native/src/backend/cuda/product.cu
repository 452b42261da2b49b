// What all products share: how many blocks and splits there are, and the sum of the splits.
#include "backend/cuda/product.h"

#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// In ascending order, from the first.
__global__ void __launch_bounds__(element_threads)
    sum_splits_kernel(LaneSet lanes, Lanes<const float> splits, Store to, std::int64_t count, int number, int rows,
                      int columns) {
  const int lane = element_lane(lanes);
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) {
    float sum = splits[lane][i];
    // Loads run ahead of the additions.
#pragma unroll 8
    for (int split = 1; split < number; ++split) sum = sum + splits[lane][split * count + i];
    const int line = static_cast<int>(i / columns), column = static_cast<int>(i % columns);
    const float one[1][1] = {{sum}};
    to.write(lane, line / rows, 0, line % rows, column, columns, one);
  }
}

std::int64_t size_of(const ProductShape& p) { return std::int64_t{p.groups} * p.rows * p.columns; }

}  // namespace

unsigned product_blocks(const ProductShape& p, int lanes, int tile_rows, int tile_columns) {
  const double blocks =
      double{1} * tiles_along(p.rows, tile_rows) * tiles_along(p.columns, tile_columns) * p.groups * p.splits * lanes;
  if (blocks > 2147483647.0) {
    throw Error(ErrorCode::ENGINE_INTERNAL, "",
                "a product of " + std::to_string(p.rows) + "x" + std::to_string(p.depth) + " by " +
                    std::to_string(p.depth) + "x" + std::to_string(p.columns) + " for " + std::to_string(lanes) +
                    " lanes is larger than a launch");
  }
  return static_cast<unsigned>(blocks);
}

ProductShape with_splits(ProductShape p, int least_depth) {
  constexpr int blocks_wanted = 128;
  p.splits = 1;
  p.split_depth = p.depth;
  if (p.depth <= least_depth) return p;
  const std::int64_t tiles = std::int64_t{tiles_along(p.rows, 64)} * tiles_along(p.columns, 64) * p.groups;
  const std::int64_t wanted = tiles < blocks_wanted ? blocks_wanted / tiles : 1,
                     most = tiles_along(p.depth, least_depth);
  const int splits = static_cast<int>(wanted < most ? wanted : most);
  p.split_depth = tiles_along(tiles_along(p.depth, splits), product_slice) * product_slice;
  p.splits = tiles_along(p.depth, p.split_depth);
  return p;
}

std::size_t split_bytes(const ProductShape& p) {
  return p.splits == 1 ? 0 : static_cast<std::size_t>(size_of(p) * p.splits) * sizeof(float);
}

void sum_splits(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, Lanes<const float> splits,
                const Store& to) {
  CONVSWEEP_LAUNCH(sum_splits_kernel, element_grid(lanes, size_of(p)), dim3(element_threads), 0, cast(context).stream,
                   lanes, splits, to, size_of(p), p.splits, p.rows, p.columns);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
