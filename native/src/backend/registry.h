// The devices of this machine, and a backend for one of them.
//
// Guarantees: list_devices never throws for a device that cannot be used; it says why. make_backend throws Error
// ENGINE_NO_DEVICE with what there is instead.
#pragma once

#include <cstdint>
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
  // Which kernels run there: `avx512`, `avx2`, `scalar`; of CUDA `sm_90`.
  std::string isa;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  // Empty if usable, else why not, in one sentence.
  std::string unusable;
};

std::vector<DeviceInfo> list_devices();

// `isa`: auto, avx512, avx2 or scalar; other backends ignore it. `reference` is a device too, for comparisons; it is
// not listed.
std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& isa);

}  // namespace convsweep
