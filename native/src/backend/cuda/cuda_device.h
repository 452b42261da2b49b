// A CUDA device as the device backend sees it: the runtime's calls, and the kernels that nvcc compiled.
//
// Guarantees: as device_runtime.h says. Every call chooses its device itself, so any thread may make it.
#pragma once

#include <memory>

#include "backend/device_runtime.h"

namespace convsweep::cuda {

// `index` as cudaGetDeviceCount counts; `generation`: `sm_90`.
std::unique_ptr<device::Runtime> open_runtime(int index, const std::string& generation);

}  // namespace convsweep::cuda
