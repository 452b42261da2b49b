// Asks the CUDA runtime what there is. Host code only: compiled by the C++ compiler against the runtime's headers.
#include "backend/cuda/cuda_backend.h"

#include <cuda_runtime_api.h>

#include "convsweep/error.h"

namespace convsweep {
namespace {

constexpr char compiled_in[] = "cuda: compiled in, but this version trains on the CPU; ";

std::string found(int devices) { return std::to_string(devices) + (devices == 1 ? " device found" : " devices found"); }

// Why no device is there, in the words of a person who looks for the driver.
std::string no_device(cudaError_t status) {
  if (status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice || status == cudaErrorStubLibrary) {
    int version = 0;
    if (cudaDriverGetVersion(&version) != cudaSuccess || version == 0) return "no driver";
    if (status == cudaErrorNoDevice) return found(0);
    return "the driver is older than the CUDA " + std::to_string(CUDART_VERSION / 1000) + "." +
           std::to_string(CUDART_VERSION % 1000 / 10) + " that this was built with";
  }
  return std::string("no device can be used (") + cudaGetErrorString(status) + ")";
}

}  // namespace

std::vector<DeviceInfo> list_cuda_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess || count == 0) {
    DeviceInfo none;
    none.id = none.backend = "cuda";
    none.name = "CUDA";
    none.unusable = compiled_in + (status == cudaSuccess ? found(0) : no_device(status));
    // The runtime remembers its last error; nobody else should meet it.
    cudaGetLastError();
    return {none};
  }
  std::vector<DeviceInfo> devices;
  for (int i = 0; i < count; ++i) {
    DeviceInfo device;
    device.id = "cuda:" + std::to_string(i);
    device.backend = "cuda";
    device.name = "CUDA device " + std::to_string(i);
    device.unusable = compiled_in + found(count);
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) == cudaSuccess) {
      device.name = std::string(properties.name) + ", compute capability " + std::to_string(properties.major) + "." +
                    std::to_string(properties.minor);
      device.cores = properties.multiProcessorCount;
      device.memory_bytes = properties.totalGlobalMem;
    }
    devices.push_back(device);
  }
  cudaGetLastError();
  return devices;
}

std::unique_ptr<Backend> make_cuda_backend(const std::string& device) {
  throw Error(ErrorCode::ENGINE_NO_DEVICE, "device", device + " cannot train: " + list_cuda_devices().front().unusable);
}

}  // namespace convsweep
