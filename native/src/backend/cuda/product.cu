// What all products share: how many blocks and splits there are, and the sum of the splits.
#include "backend/cuda/product.h"

#include <algorithm>

#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// Threads that share an element's splits: each adds every eighth in ascending order, then the eight sums are added in
// ascending order.
constexpr int sharers = 8, elements_a_block = element_threads / sharers;

__global__ void __launch_bounds__(element_threads)
    sum_splits_kernel(LaneSet lanes, Lanes<const float> splits, Store to, std::int64_t count, int number, int rows,
                      int columns) {
  using Sums = float[sharers][elements_a_block];
  CONVSWEEP_SHARED(Sums, sums);
  const int lane = element_lane(lanes);
  const int place = static_cast<int>(threadIdx.x) % elements_a_block,
            share = static_cast<int>(threadIdx.x) / elements_a_block;
  const std::int64_t stride = std::int64_t{blocks_a_lane(lanes)} * elements_a_block;
  for (std::int64_t first = std::int64_t{blockIdx.x % blocks_a_lane(lanes)} * elements_a_block; first < count;
       first += stride) {
    const std::int64_t i = first + place;
    float own = 0;
    if (i < count && share < number) {
      own = splits[lane][share * count + i];
      // Loads run ahead of the additions.
#pragma unroll 4
      for (int split = share + sharers; split < number; split += sharers) own = own + splits[lane][split * count + i];
    }
    sums[share][place] = own;
    __syncthreads();
    if (share == 0 && i < count) {
      float sum[1][1] = {{own}};
      for (int other = 1; other < sharers && other < number; ++other) sum[0][0] = sum[0][0] + sums[other][place];
      const int line = static_cast<int>(i / columns);
      to.write(lane, line / rows, 0, line % rows, static_cast<int>(i % columns), columns, sum);
    }
    __syncthreads();
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
  constexpr std::int64_t blocks_wanted = 512, most_floats = 1 << 19;
  p.splits = 1;
  p.split_depth = p.depth;
  if (p.depth <= least_depth) return p;
  const std::int64_t tiles = std::int64_t{tiles_along(p.rows, 64)} * tiles_along(p.columns, 64) * p.groups;
  const std::int64_t wanted = std::min(blocks_wanted / tiles, most_floats / size_of(p)),
                     most = tiles_along(p.depth, least_depth);
  const int splits = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, most));
  p.split_depth = tiles_along(tiles_along(p.depth, splits), product_slice) * product_slice;
  p.splits = tiles_along(p.depth, p.split_depth);
  return p;
}

std::size_t split_bytes(const ProductShape& p) {
  return p.splits == 1 ? 0 : static_cast<std::size_t>(size_of(p) * p.splits) * sizeof(float);
}

void sum_splits(ExecutionContext& context, const LaneSet& lanes, const ProductShape& p, Lanes<const float> splits,
                const Store& to) {
  CONVSWEEP_LAUNCH(sum_splits_kernel, element_grid(lanes, size_of(p) * sharers), dim3(element_threads), 0,
                   cast(context).stream, lanes, splits, to, size_of(p), p.splits, p.rows, p.columns);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
