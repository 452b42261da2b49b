#include "backend/device_backend.h"

#include <map>
#include <mutex>
#include <utility>

#include "convsweep/error.h"
#include "data/dataset.h"

namespace convsweep {
namespace device {
namespace {

std::size_t round64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

Error no_room(Runtime& runtime, std::size_t bytes, const std::string& what) {
  const MemoryState memory = runtime.memory();
  return Error(ErrorCode::ENGINE_OUT_OF_MEMORY, "",
               what + ": " + std::to_string(bytes) + " bytes asked for, " + runtime.id() + " has " +
                   std::to_string(memory.free) + " of " + std::to_string(memory.total) + " free");
}

// Images, then labels.
class DatasetOnDevice final : public DatasetMemory {
 public:
  DatasetOnDevice(std::shared_ptr<Runtime> runtime, std::shared_ptr<const Dataset> from)
      : runtime_(std::move(runtime)), from_(std::move(from)) {
    const std::size_t images_size = round64(from_->images.size());
    const std::size_t bytes = images_size + round64(from_->labels.size());
    const MemoryState state = runtime_->memory();
    memory_ = bytes <= state.free ? runtime_->allocate(bytes) : nullptr;
    if (memory_ == nullptr) throw no_room(*runtime_, bytes, "no room for the data set");
    images = static_cast<const std::uint8_t*>(memory_);
    labels = images + images_size;
    try {
      const std::unique_ptr<Queue> queue = runtime_->queue();
      queue->copy_in(memory_, from_->images.data(), from_->images.size());
      queue->copy_in(static_cast<std::byte*>(memory_) + images_size, from_->labels.data(), from_->labels.size());
    } catch (...) {
      runtime_->release(memory_);
      throw;
    }
  }
  ~DatasetOnDevice() override { runtime_->release(memory_); }

 private:
  const std::shared_ptr<Runtime> runtime_;
  // Keeps its address from being given to another set while this one is known by it.
  const std::shared_ptr<const Dataset> from_;
  void* memory_ = nullptr;
};

}  // namespace

class Device {
 public:
  explicit Device(std::unique_ptr<Runtime> of) : runtime(std::move(of)) {}

  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::erase_if(datasets_, [](const auto& entry) { return entry.second.expired(); });
    std::weak_ptr<const DatasetMemory>& place = datasets_[set.get()];
    if (std::shared_ptr<const DatasetMemory> there = place.lock()) return there;
    auto made = std::make_shared<const DatasetOnDevice>(runtime, std::move(set));
    place = made;
    return made;
  }

  const std::shared_ptr<Runtime> runtime;

 private:
  std::mutex mutex_;
  std::map<const Dataset*, std::weak_ptr<const DatasetMemory>> datasets_;
};

std::shared_ptr<Device> open_device(std::unique_ptr<Runtime> runtime) {
  return std::make_shared<Device>(std::move(runtime));
}

}  // namespace device

namespace {

class DeviceBackend final : public Backend {
 public:
  explicit DeviceBackend(std::shared_ptr<device::Device> device)
      : device_(std::move(device)), runtime_(*device_->runtime), queue_(runtime_.queue()) {}

  std::string name() const override { return runtime_.backend(); }
  std::string generation() const override { return runtime_.generation(); }
  const OpTable& ops() const override { return runtime_.ops(); }
  bool fuses() const override { return true; }
  bool is_host() const override { return false; }
  std::unique_ptr<ExecutionContext> context(ThreadPool*) override { return queue_->context(); }

  std::unique_ptr<Recording> record(const std::function<void()>& calls) override { return queue_->record(calls); }

  void* allocate(std::size_t bytes) override {
    // A runtime may answer nothing with null.
    const std::size_t size = bytes > 0 ? bytes : 64;
    void* memory = size <= runtime_.memory().free ? runtime_.allocate(size) : nullptr;
    if (memory == nullptr) throw device::no_room(runtime_, bytes, "no room; take fewer lanes or a smaller batch");
    try {
      queue_->clear(memory, size);
    } catch (...) {
      runtime_.release(memory);
      throw;
    }
    return memory;
  }
  void release(void* memory) noexcept override { runtime_.release(memory); }
  void copy_in(void* device, const void* host, std::size_t bytes) override {
    if (bytes > 0) queue_->copy_in(device, host, bytes);
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    if (bytes > 0) queue_->copy_out(host, device, bytes);
  }
  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) override {
    return device_->dataset(std::move(set));
  }
  std::size_t memory_bytes() const override { return runtime_.memory().total; }
  std::size_t free_bytes() const override { return runtime_.memory().free; }

 private:
  const std::shared_ptr<device::Device> device_;
  device::Runtime& runtime_;
  const std::unique_ptr<device::Queue> queue_;
};

}  // namespace

std::unique_ptr<Backend> make_device_backend(std::shared_ptr<device::Device> device) {
  return std::make_unique<DeviceBackend>(std::move(device));
}

}  // namespace convsweep
