#include "telemetry/nvml.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>

namespace convsweep::telemetry {
namespace {

// Of nvml.h what is needed here: its names without the prefix, its order, its numbers. NVML keeps them over versions.
using Status = int;
constexpr Status success = 0;
using Handle = struct HandleOf*;
struct Utilization {
  unsigned gpu, memory;
};
struct Memory {
  unsigned long long total, free, used;
};
struct Temperature {
  unsigned version;
  int sensor, temperature;
};
constexpr int gpu_sensor = 0;
constexpr unsigned temperature_version = static_cast<unsigned>(sizeof(Temperature)) | (1u << 24);
constexpr unsigned version_length = 80;

// Null where the library lacks one.
struct Functions {
  Status (*init)() = nullptr;
  const char* (*error_string)(Status) = nullptr;
  Status (*driver_version)(char*, unsigned) = nullptr;
  Status (*handle_by_bus)(const char*, Handle*) = nullptr;
  Status (*utilization)(Handle, Utilization*) = nullptr;
  Status (*memory)(Handle, Memory*) = nullptr;
  // The newer one, and the one that it replaces.
  Status (*temperature)(Handle, Temperature*) = nullptr;
  Status (*temperature_once)(Handle, int, unsigned*) = nullptr;
  // Milliwatts.
  Status (*power)(Handle, unsigned*) = nullptr;
};

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
}

class LoadedNvml final : public Nvml {
 public:
  explicit LoadedNvml(const std::string& library) {
    // Never closed: the driver's library keeps threads of its own.
    void* const opened = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened == nullptr) {
      const char* why = dlerror();
      trouble_ = library + " cannot be loaded: " + (why == nullptr ? "no reason given" : why);
      return;
    }
    find(opened, "nvmlInit_v2", call_.init);
    find(opened, "nvmlErrorString", call_.error_string);
    find(opened, "nvmlSystemGetDriverVersion", call_.driver_version);
    find(opened, "nvmlDeviceGetHandleByPciBusId_v2", call_.handle_by_bus);
    find(opened, "nvmlDeviceGetUtilizationRates", call_.utilization);
    find(opened, "nvmlDeviceGetMemoryInfo", call_.memory);
    find(opened, "nvmlDeviceGetTemperatureV", call_.temperature);
    find(opened, "nvmlDeviceGetTemperature", call_.temperature_once);
    find(opened, "nvmlDeviceGetPowerUsage", call_.power);
    if (call_.init == nullptr) {
      trouble_ = library + " has no function nvmlInit_v2";
      return;
    }
    const Status status = call_.init();
    if (status != success) trouble_ = library + ": " + text_of(status);
  }

  const std::string& trouble() const override { return trouble_; }

  std::string driver_version() const override {
    std::array<char, version_length> text{};
    if (!trouble_.empty() || call_.driver_version == nullptr) return "";
    if (call_.driver_version(text.data(), version_length) != success) return "";
    text.back() = '\0';
    return text.data();
  }

  DeviceUse use(const std::string& bus) override {
    DeviceUse use;
    Handle handle = nullptr;
    // Asked for each time: a device may have been reset.
    if (!trouble_.empty() || call_.handle_by_bus == nullptr) return use;
    if (call_.handle_by_bus(bus.c_str(), &handle) != success) return use;
    Utilization rates{};
    if (call_.utilization != nullptr && call_.utilization(handle, &rates) == success) {
      use.utilization = rates.gpu / 100.0;
    }
    Memory memory{};
    if (call_.memory != nullptr && call_.memory(handle, &memory) == success) {
      use.memory_used = memory.used;
      use.memory_total = memory.total;
    }
    use.temperature = temperature_of(handle);
    unsigned milliwatts = 0;
    if (call_.power != nullptr && call_.power(handle, &milliwatts) == success) use.power = milliwatts / 1000.0;
    return use;
  }

 private:
  std::optional<double> temperature_of(Handle handle) const {
    Temperature newer{temperature_version, gpu_sensor, 0};
    if (call_.temperature != nullptr && call_.temperature(handle, &newer) == success) return newer.temperature;
    unsigned degrees = 0;
    if (call_.temperature_once == nullptr || call_.temperature_once(handle, gpu_sensor, &degrees) != success) return {};
    return degrees;
  }

  std::string text_of(Status status) const {
    const char* text = call_.error_string == nullptr ? nullptr : call_.error_string(status);
    return text == nullptr ? "error " + std::to_string(status) : text;
  }

  Functions call_;
  std::string trouble_;
};

}  // namespace

Nvml& Nvml::open(const std::string& library) {
  // Never destroyed: a call that a driver holds may outlast everything.
  static auto& mutex = *new std::mutex;
  static auto& opened = *new std::map<std::string, std::unique_ptr<Nvml>>;
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<Nvml>& place = opened[library];
  if (place == nullptr) place = std::make_unique<LoadedNvml>(library);
  return *place;
}

std::string Nvml::usual_library() {
  const char* chosen = std::getenv("CONVSWEEP_NVML");
  return chosen != nullptr && *chosen != '\0' ? chosen : "libnvidia-ml.so.1";
}

}  // namespace convsweep::telemetry
