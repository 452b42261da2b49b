// Two emulated devices in an engine of their own, so that tests have workers with several devices, and devices that
// break.
//
// A device breaks when the file ${CONVSWEEP_EMULATED_BREAK}emulated:0 (or :1) comes; the file is gone then, so that the
// next process finds the device whole.
#include <array>
#include <cstdlib>

#include "backend/device_backend.h"
#include "backend/registry.h"
#include "emulator/emulated_runtime.h"

namespace convsweep::emulator {
namespace {

constexpr int count = 2;

struct Place {
  EmulatedDevice state;
  std::shared_ptr<device::Device> device;
};

// For the life of the process, as CUDA's.
std::array<Place, count>& places() {
  static std::array<Place, count> all = [] {
    std::array<Place, count> made;
    const char* prefix = std::getenv("CONVSWEEP_EMULATED_BREAK");
    for (std::size_t i = 0; i < count; ++i) {
      made[i].state.id = "emulated:" + std::to_string(i);
      if (prefix != nullptr) made[i].state.breaks_with = prefix + made[i].state.id;
    }
    return made;
  }();
  static const bool opened = [] {
    for (Place& place : all) place.device = device::open_device(open_runtime(place.state));
    return true;
  }();
  static_cast<void>(opened);
  return all;
}

std::vector<DeviceInfo> list() {
  std::vector<DeviceInfo> devices;
  for (const Place& place : places()) {
    DeviceInfo device;
    device.id = place.state.id;
    device.backend = "emulated";
    device.name = "kernels on the host emulator";
    device.isa = "emulated";
    // The first is the one that a test's NVML knows.
    device.bus = devices.empty() ? "0000:65:00.0" : "0000:66:00.0";
    device.cores = 2;
    device.memory_bytes = place.state.total;
    devices.push_back(device);
  }
  return devices;
}

std::unique_ptr<Backend> make(const std::string& id) {
  for (Place& place : places()) {
    if (place.state.id == id) return make_device_backend(place.device);
  }
  return nullptr;
}

const bool added = (add_device_source({list, make}), true);

}  // namespace
}  // namespace convsweep::emulator
