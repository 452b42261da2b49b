// How elementwise kernels spread over a device: every lane has the same number of blocks, and a lane's blocks stride
// over its elements. Blocks are numbered along x alone, lane after lane, so no number of lanes meets the limit of
// 65,535 that y and z have.
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline constexpr int element_threads = 256;

__device__ inline unsigned blocks_a_lane(const LaneSet& lanes) {
  return gridDim.x / static_cast<unsigned>(lanes.count);
}
__device__ inline int element_lane(const LaneSet& lanes) {
  return lanes[static_cast<int>(blockIdx.x / blocks_a_lane(lanes))];
}
__device__ inline std::int64_t first_element(const LaneSet& lanes) {
  return std::int64_t{blockIdx.x % blocks_a_lane(lanes)} * element_threads + static_cast<int>(threadIdx.x);
}
__device__ inline std::int64_t element_stride(const LaneSet& lanes) {
  return std::int64_t{blocks_a_lane(lanes)} * element_threads;
}

// Enough blocks to fill a large device with one lane; more lanes bring blocks of their own. Their number never changes
// a byte.
inline dim3 element_grid(const LaneSet& lanes, std::int64_t count) {
  constexpr std::int64_t most_blocks = 1024;
  const std::int64_t wanted = (count + element_threads - 1) / element_threads;
  const std::int64_t blocks = wanted < 1 ? 1 : wanted < most_blocks ? wanted : most_blocks;
  return dim3(static_cast<unsigned>(blocks * lanes.count));
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
