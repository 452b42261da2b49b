#include "emulator/emulated_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "backend/cuda/kernels.h"

namespace convsweep::emulator {
namespace {

// Asked before anything that a broken device refuses.
void work(EmulatedDevice& device) {
  if (!device.breaks_with.empty() && std::remove(device.breaks_with.c_str()) == 0) device.works_for = 0;
  if (device.works_for == 0) {
    throw Error(ErrorCode::ENGINE_DEVICE_LOST, "",
                "the device is lost; waiting for " + device.id + ": an illegal address");
  }
  if (device.works_for > 0) --device.works_for;
}

class EmulatedRecording final : public Recording {
 public:
  EmulatedRecording(EmulatedDevice& device, Tape launches) : device_(device), launches_(std::move(launches)) {}
  void replay() override {
    work(device_);
    ++device_.replays;
    for (const auto& launch : launches_) launch();
  }

 private:
  EmulatedDevice& device_;
  const Tape launches_;
};

class EmulatedQueue final : public device::Queue {
 public:
  explicit EmulatedQueue(EmulatedDevice& of) : device_(of) {}
  std::unique_ptr<ExecutionContext> context() override { return std::make_unique<CudaContext>(nullptr); }
  std::unique_ptr<Recording> record(const std::function<void()>& calls) override {
    if (!device_.records) return nullptr;
    Tape launches;
    tape = &launches;
    try {
      calls();
    } catch (...) {
      tape = nullptr;
      throw;
    }
    tape = nullptr;
    return std::make_unique<EmulatedRecording>(device_, std::move(launches));
  }
  void clear(void* memory, std::size_t bytes) override {
    work(device_);
    std::memset(memory, 0, bytes);
  }
  void copy_in(void* to, const void* host, std::size_t bytes) override {
    work(device_);
    ++device_.copies_in;
    std::memcpy(to, host, bytes);
  }
  void copy_out(void* host, const void* from, std::size_t bytes) override {
    work(device_);
    ++device_.copies_out;
    std::memcpy(host, from, bytes);
  }

 private:
  EmulatedDevice& device_;
};

class EmulatedRuntime final : public device::Runtime {
 public:
  explicit EmulatedRuntime(EmulatedDevice& of) : device_(of) {}
  std::string backend() const override { return "emulated"; }
  std::string generation() const override { return ""; }
  std::string id() const override { return device_.id; }
  const OpTable& ops() const override { return emulated::op_table(); }
  device::MemoryState memory() override { return {device_.total - device_.used, device_.total}; }
  void* allocate(std::size_t bytes) override {
    if (device_.taken_meanwhile || bytes > device_.total - device_.used) return nullptr;
    void* memory = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (memory == nullptr) return nullptr;
    std::memset(memory, 0xA5, bytes);
    const std::lock_guard<std::mutex> lock(mutex_);
    sizes_[memory] = bytes;
    device_.used += bytes;
    ++device_.open;
    ++device_.ever;
    return memory;
  }
  void release(void* memory) noexcept override {
    if (memory == nullptr) return;
    const std::lock_guard<std::mutex> lock(mutex_);
    device_.used -= sizes_[memory];
    --device_.open;
    sizes_.erase(memory);
    std::free(memory);
  }
  std::unique_ptr<device::Queue> queue() override { return std::make_unique<EmulatedQueue>(device_); }

 private:
  EmulatedDevice& device_;
  std::mutex mutex_;
  std::map<void*, std::size_t> sizes_;
};

}  // namespace

std::unique_ptr<device::Runtime> open_runtime(EmulatedDevice& device) {
  return std::make_unique<EmulatedRuntime>(device);
}

}  // namespace convsweep::emulator
