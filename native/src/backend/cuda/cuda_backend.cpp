// Asks the CUDA runtime what there is. Host code only: compiled by the C++ compiler against the runtime's headers.
#include "backend/cuda/cuda_backend.h"

#include <cuda_runtime_api.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/kernel_images.h"
#include "backend/device_backend.h"
#include "convsweep/error.h"

namespace convsweep {
namespace {

// What the kernels are compiled for (CMakeLists.txt).
const cuda::KernelImages& images() {
  static const cuda::KernelImages compiled{{CONVSWEEP_CUDA_MACHINE_CODE}, {CONVSWEEP_CUDA_PTX}};
  return compiled;
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Why no device is there, in the words of a person who looks for the driver.
std::string no_device(cudaError_t status) {
  const CudaSupport support = compiled_cuda_support();
  if (status == cudaSuccess || (status == cudaErrorNoDevice && !support.driver.empty())) {
    const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
    if (visible == nullptr) return "the driver finds no device";
    return "the driver finds no device, of those that CUDA_VISIBLE_DEVICES=" + std::string(visible) + " lets it see";
  }
  if (status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice || status == cudaErrorStubLibrary) {
    if (support.driver.empty()) return "no driver; install NVIDIA's, or train on the CPU";
    return "the driver knows CUDA " + support.driver + ", this was built with " + support.runtime +
           "; install a newer driver";
  }
  return std::string("no device can be used (") + cudaGetErrorString(status) + ")";
}

std::string bus_of(int index) {
  std::array<char, 32> text{};
  const bool known = cudaDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), index) == cudaSuccess;
  return known ? text.data() : "";
}

DeviceInfo describe(int index) {
  DeviceInfo device;
  device.id = "cuda:" + std::to_string(index);
  device.backend = "cuda";
  device.name = "CUDA device " + std::to_string(index);
  cudaDeviceProp properties{};
  const cudaError_t status = cudaGetDeviceProperties(&properties, index);
  if (status != cudaSuccess) {
    device.unusable = std::string("it does not answer (") + cudaGetErrorString(status) + ")";
    return device;
  }
  int mode = cudaComputeModeDefault;
  cudaDeviceGetAttribute(&mode, cudaDevAttrComputeMode, index);
  device.name = properties.name;
  device.capability = std::to_string(properties.major) + "." + std::to_string(properties.minor);
  device.bus = bus_of(index);
  device.cores = properties.multiProcessorCount;
  device.memory_bytes = properties.totalGlobalMem;
  device.isa = images().for_device(properties.major, properties.minor);
  if (device.isa.empty()) {
    device.unusable = "no kernels for compute capability " + device.capability + ", only " + images().list();
  } else if (mode == cudaComputeModeProhibited) {
    device.unusable = "its compute mode is prohibited; see nvidia-smi --compute-mode";
  }
  return device;
}

// `sm_90` of `9.0`: results belong to it, whichever of the kernels run.
std::string generation_of(const std::string& capability) {
  const std::size_t dot = capability.find('.');
  return "sm_" + capability.substr(0, dot) + capability.substr(dot + 1);
}

// Devices stay open for the life of the process: what a device needs once is not paid again a session.
std::shared_ptr<device::Device> device_of(int index, const std::string& generation) {
  static std::mutex mutex;
  static std::map<int, std::shared_ptr<device::Device>> open;
  const std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<device::Device>& place = open[index];
  if (place == nullptr) place = device::open_device(cuda::open_runtime(index, generation));
  return place;
}

}  // namespace

CudaSupport compiled_cuda_support() {
  CudaSupport support{true, version_text(CUDART_VERSION), "", images().names()};
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0) support.driver = version_text(driver);
  cudaGetLastError();
  return support;
}

std::vector<DeviceInfo> list_cuda_devices() {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  std::vector<DeviceInfo> devices;
  if (status != cudaSuccess || count == 0) {
    DeviceInfo none;
    none.id = none.backend = "cuda";
    none.name = "CUDA";
    none.unusable = no_device(status);
    devices.push_back(none);
  } else {
    for (int i = 0; i < count; ++i) devices.push_back(describe(i));
  }
  // The runtime remembers its last error; nobody else should meet it.
  cudaGetLastError();
  return devices;
}

std::unique_ptr<Backend> make_cuda_backend(const std::string& device) {
  const std::vector<DeviceInfo> devices = list_cuda_devices();
  std::string there;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const DeviceInfo& info = devices[i];
    const bool wanted = info.id == device || (device == "cuda" && i == 0);
    if (wanted && info.unusable.empty()) {
      return make_device_backend(device_of(static_cast<int>(i), generation_of(info.capability)));
    }
    if (wanted) throw Error(ErrorCode::ENGINE_NO_DEVICE, "device", device + " cannot be used: " + info.unusable);
    there += (i > 0 ? ", " : "") + info.id + (info.unusable.empty() ? "" : " (" + info.unusable + ")");
  }
  throw unexpected(ErrorCode::ENGINE_NO_DEVICE, "device", there, device);
}

}  // namespace convsweep
