// CUDA devices: found, named, and made into backends.
//
// Guarantees: listing needs no driver and never throws; the CUDA runtime is linked statically and looks for the driver
// when first called. A device that cannot be used is listed with why.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/registry.h"

namespace convsweep {

CudaSupport compiled_cuda_support();

// One entry a device, or a single one with id `cuda` that says why there is none.
std::vector<DeviceInfo> list_cuda_devices();

// `cuda:N`, or `cuda` for the first. Throws Error ENGINE_NO_DEVICE with what there is, ENGINE_DEVICE_LOST where it is
// broken.
std::unique_ptr<Backend> make_cuda_backend(const std::string& device);

}  // namespace convsweep
