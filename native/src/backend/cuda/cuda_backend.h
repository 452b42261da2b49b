// CUDA devices as this version knows them: found and named, not trained on yet.
//
// Guarantees: neither function needs a driver to be installed, and neither throws for the lack of one; the CUDA runtime
// is linked statically and looks for the driver when first called.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/registry.h"

namespace convsweep {

// One entry a device, or a single one with id `cuda` where there is none. All say in `unusable` why they are not used.
std::vector<DeviceInfo> list_cuda_devices();

// Throws Error ENGINE_NO_DEVICE with what list_cuda_devices says.
[[noreturn]] std::unique_ptr<Backend> make_cuda_backend(const std::string& device);

}  // namespace convsweep
