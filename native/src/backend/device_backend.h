// The backend of a device with memory of its own, over any runtime.
//
// Guarantees: a data set lies on the device once, for all sessions that use it at a time; its memory comes back with the
// last of them. What does not fit throws Error ENGINE_OUT_OF_MEMORY that says what is free, before anything is allocated.
//
// Not here: kernels (the runtime's table), the order of operations (src/session).
#pragma once

#include <memory>

#include "backend/device_runtime.h"

namespace convsweep {

namespace device {
// A runtime with the data sets that lie on its device. One a device and process.
class Device;
std::shared_ptr<Device> open_device(std::unique_ptr<Runtime> runtime);
}  // namespace device

// Has a queue of its own.
std::unique_ptr<Backend> make_device_backend(std::shared_ptr<device::Device> device);

}  // namespace convsweep
