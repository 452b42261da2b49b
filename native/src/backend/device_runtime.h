// What a backend needs to know of a device: its memory, its queue of work, its kernels.
//
// Two implementations: the CUDA runtime (src/backend/cuda/cuda_device.cpp), and in tests kernels on the host emulator,
// which can also break on request (test/emulator/emulated_runtime.h).
//
// Guarantees of both: a device that broke stays broken, and every call but release() says so with Error
// ENGINE_DEVICE_LOST: only a new process can use it again. Safe from several threads; a queue belongs to one.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "convsweep/backend.h"

namespace convsweep::device {

// In bytes.
struct MemoryState {
  std::size_t free = 0, total = 0;
};

// Work is done in the order in which it is put in. What goes wrong in a kernel shows at a later call.
class Queue {
 public:
  virtual ~Queue() = default;
  // For operations, valid as long as the queue.
  virtual std::unique_ptr<ExecutionContext> context() = 0;
  // Backend::record; the queue outlives the recording.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& calls) = 0;
  virtual void clear(void* memory, std::size_t bytes) = 0;
  // The host's memory is free again when they return.
  virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;

 protected:
  Queue() = default;
};

class Runtime {
 public:
  virtual ~Runtime() = default;
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // `cuda`, `emulated`.
  virtual std::string backend() const = 0;
  // What the bytes may depend on beside the kernels, for the fingerprint: `sm_90`, or empty.
  virtual std::string generation() const = 0;
  // `cuda:0`, for messages.
  virtual std::string id() const = 0;
  virtual const OpTable& ops() const = 0;
  virtual MemoryState memory() = 0;
  // Aligned to 64 bytes, with any content; null where there is no room.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  virtual std::unique_ptr<Queue> queue() = 0;

 protected:
  Runtime() = default;
};

}  // namespace convsweep::device
