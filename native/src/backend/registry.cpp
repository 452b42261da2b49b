#include "backend/registry.h"

#include <fstream>
#include <thread>

#include "backend/cpu/cpu_backend.h"
#include "backend/reference/reference_backend.h"
#include "convsweep/error.h"
#if defined(CONVSWEEP_WITH_CUDA)
#include "backend/cuda/cuda_backend.h"
#endif

namespace convsweep {
namespace {

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "processor";
}

const cpu::KernelTable& table_of(const std::string& isa) {
  if (isa == "auto") return cpu::kernels();
  for (const cpu::Isa candidate : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (isa != cpu::isa_name(candidate)) continue;
    if (const cpu::KernelTable* table = cpu::kernels_for(candidate)) return *table;
    throw Error(ErrorCode::ENGINE_NO_DEVICE, "isa", "this processor cannot run " + isa + " kernels; take auto");
  }
  throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "isa", "auto, avx512, avx2 or scalar", isa);
}

// Filled before threads begin.
std::vector<DeviceSource>& sources() {
  static std::vector<DeviceSource> all;
  return all;
}

}  // namespace

void add_device_source(DeviceSource source) { sources().push_back(std::move(source)); }

std::vector<DeviceInfo> list_devices() {
  DeviceInfo cpu;
  cpu.id = cpu.backend = "cpu";
  cpu.name = processor_name();
  cpu.isa = cpu::isa_name(cpu::best_isa());
  cpu.cores = static_cast<int>(std::thread::hardware_concurrency());
  cpu.memory_bytes = make_backend("cpu", "auto")->memory_bytes();
  std::vector<DeviceInfo> devices{cpu};
#if defined(CONVSWEEP_WITH_CUDA)
  for (DeviceInfo& device : list_cuda_devices()) devices.push_back(device);
#endif
  for (const DeviceSource& source : sources()) {
    for (DeviceInfo& device : source.list()) devices.push_back(device);
  }
  return devices;
}

CudaSupport cuda_support() {
#if defined(CONVSWEEP_WITH_CUDA)
  return compiled_cuda_support();
#else
  return {};
#endif
}

std::unique_ptr<Backend> make_backend(const std::string& device, const std::string& isa) {
  const cpu::KernelTable& table = table_of(isa);
  if (device == "cpu") return make_cpu_backend(table);
  if (device == "reference") return make_reference_backend();
#if defined(CONVSWEEP_WITH_CUDA)
  if (device.starts_with("cuda")) return make_cuda_backend(device);
#else
  if (device.starts_with("cuda")) {
    throw Error(ErrorCode::ENGINE_NO_DEVICE, "device",
                "this engine was built without CUDA; install the CUDA toolkit and build again, or take cpu");
  }
#endif
  for (const DeviceSource& source : sources()) {
    if (std::unique_ptr<Backend> backend = source.make(device)) return backend;
  }
  throw unexpected(ErrorCode::ENGINE_NO_DEVICE, "device", "cpu or cuda:N", device);
}

}  // namespace convsweep
