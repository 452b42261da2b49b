// How elementwise kernels spread over a device: lanes on blockIdx.y, each block striding over its lane's elements.
#pragma once

#include "backend/cuda/launch.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline constexpr int element_threads = 256;

__device__ inline std::int64_t first_element() {
  return std::int64_t{blockIdx.x} * element_threads + static_cast<int>(threadIdx.x);
}
__device__ inline std::int64_t element_stride() { return std::int64_t{gridDim.x} * element_threads; }

// Enough blocks to fill a large device with one lane; more lanes bring blocks of their own.
inline dim3 element_grid(const LaneSet& lanes, std::int64_t count) {
  constexpr std::int64_t most_blocks = 1024;
  const std::int64_t blocks = (count + element_threads - 1) / element_threads;
  return dim3(static_cast<unsigned>(blocks < most_blocks ? blocks : most_blocks), static_cast<unsigned>(lanes.count));
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
