// Tests through the device backend: the devices there are, and memory on them.
#pragma once

#include <functional>
#include <memory>
#include <type_traits>
#include <vector>

#include "backend/device_backend.h"
#include "backend/registry.h"
#include "support.h"
#if defined(CONVSWEEP_WITH_EMULATED)
#include "emulator/emulated_runtime.h"
#endif

namespace convsweep::test {

using MakeBackend = std::function<std::unique_ptr<Backend>()>;

// Empty where there is no CUDA device that can be used; says so.
inline MakeBackend gpu() {
  for (const DeviceInfo& device : list_devices()) {
    if (device.backend != "cuda") continue;
    if (device.unusable.empty()) return [id = device.id] { return make_backend(id, "auto"); };
    MESSAGE("SKIPPED: " << device.id << ": " << device.unusable);
  }
  MESSAGE("SKIPPED: no CUDA device was used");
  return {};
}

#if defined(CONVSWEEP_WITH_EMULATED)
inline MakeBackend emulated() {
  static emulator::EmulatedDevice state;
  static const std::shared_ptr<device::Device> device = device::open_device(emulator::open_runtime(state));
  return [] { return make_device_backend(device); };
}
#endif

// Memory of a device, filled from the host's, that comes back with fetch().
class Moved {
 public:
  explicit Moved(Backend& backend) : backend_(backend) {}
  ~Moved() {
    for (const Block& block : blocks_) backend_.release(block.device);
  }
  Moved(const Moved&) = delete;
  Moved& operator=(const Moved&) = delete;

  template <class T>
  void move(Lanes<T>& lanes, std::size_t count) {
    if (!lanes || count == 0) return;
    using Value = std::remove_const_t<T>;
    void* device = backend_.allocate(count * sizeof(T));
    backend_.copy_in(device, lanes.base, count * sizeof(T));
    blocks_.push_back({device, const_cast<Value*>(lanes.base), count * sizeof(T)});
    lanes.base = static_cast<Value*>(device);
  }
  void* fresh(std::size_t bytes) {
    blocks_.push_back({backend_.allocate(bytes), nullptr, bytes});
    return blocks_.back().device;
  }
  void fetch() {
    for (const Block& block : blocks_) {
      if (block.host != nullptr) backend_.copy_out(block.host, block.device, block.bytes);
    }
  }

 private:
  struct Block {
    void* device;
    void* host;
    std::size_t bytes;
  };
  Backend& backend_;
  std::vector<Block> blocks_;
};

}  // namespace convsweep::test
