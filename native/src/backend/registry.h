// The devices of this machine, and a backend for one of them.
//
// Guarantees: list_devices never throws for a device that cannot be used; it says why. make_backend throws Error
// ENGINE_NO_DEVICE with what there is instead.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "convsweep/backend.h"

namespace convsweep {

struct DeviceInfo {
  // `cpu`, `cuda:0`
  std::string id;
  std::string backend;
  std::string name;
  // Of CUDA: `9.0`.
  std::string capability;
  // Where it sits, for those who know it by that: `0000:65:00.0`. Empty of the CPU.
  std::string bus;
  // Which kernels run there: `avx512`, `avx2`, `scalar`; of CUDA `sm_90`, or `compute_90` where the driver compiles
  // them.
  std::string isa;
  // Of CUDA multiprocessors.
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  // Empty if usable, else why not, in one sentence.
  std::string unusable;
};

std::vector<DeviceInfo> list_devices();

// Devices beside the CPU's and CUDA's that a program brings along, as tests do.
struct DeviceSource {
  std::function<std::vector<DeviceInfo>()> list;
  // Null for an id that is none of its own.
  std::function<std::unique_ptr<Backend>(const std::string& id)> make;
};
void add_device_source(DeviceSource source);

// What this engine brings for CUDA, and what the machine's driver can take. Versions as CUDA writes them, `13.0`.
struct CudaSupport {
  bool built = false;
  // Of the runtime that is compiled in; empty without.
  std::string runtime;
  // The newest CUDA that the driver knows; empty without a driver.
  std::string driver;
  // The kernels that are compiled in: `sm_75`, ..., and `compute_90` for code that the driver compiles.
  std::vector<std::string> kernels;
};
CudaSupport cuda_support();

// `isa`: auto, avx512, avx2 or scalar; other backends ignore it. `reference` is a device too, for comparisons; it is
// not listed.
std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& isa);

}  // namespace convsweep
