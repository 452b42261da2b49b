// What a backend is: a table of operations and the memory they work on.
//
// Guarantees: a backend whose table lacks an operation does not compile (complete() is checked in a static_assert
// beside each table). All backends agree on ops.h; they differ in loop structure only.
//
// Not here: which operations in which order (src/session), shapes (src/ops/shape.h).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "convsweep/matrix.h"
#include "convsweep/ops.h"

namespace convsweep {

class CallTimes;

// What a backend's operations need beside the call: threads, a stream. Each backend casts to its own.
class ExecutionContext {
 public:
  virtual ~ExecutionContext() = default;
  // Where a profile is taken (src/backend/profiling.h); null otherwise.
  std::shared_ptr<CallTimes> times;
  // Counted once an operation, wrapping: proof of life for whoever watches the thread. Null for nobody.
  std::int32_t* beats = nullptr;
  // Which of the session's workspaces its calls use; contexts that work at the same time have different ones.
  int slot = 0;

  void beat() const {
    if (beats != nullptr) std::atomic_ref<std::int32_t>(*beats).fetch_add(1, std::memory_order_relaxed);
  }

 protected:
  ExecutionContext() = default;
};

struct LayerKernels {
  void (*forward)(ExecutionContext&, const LayerCall&);
  void (*backward)(ExecutionContext&, const LayerCall&);
  // Bytes of LayerCall::scratch that either direction needs for a batch of n, in a context of at most `width` threads.
  std::size_t (*scratch_bytes)(const LayerShape&, int n, int width);
};
using JoinKernel = void (*)(ExecutionContext&, const JoinCall&);
using LossKernel = void (*)(ExecutionContext&, const LossCall&);
using UpdateKernel = void (*)(ExecutionContext&, const UpdateCall&);

struct OpTable {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) LayerKernels name;
#define CONVSWEEP_LOSS_OP(name) LossKernel name;
#define CONVSWEEP_UPDATE_OP(name, state) UpdateKernel name;
#include "ops/ops.def"
  JoinKernel add;
  JoinKernel copy;
  void (*gather)(ExecutionContext&, const GatherCall&);
  void (*draw_normal)(ExecutionContext&, const NormalCall&);
  void (*one_hot)(ExecutionContext&, const OneHotCall&);
  // Sets *finite[lane] to 0 or 1: whether the first `count` values are all finite.
  void (*check_finite)(ExecutionContext&, LaneSet, Lanes<const float>, std::int64_t count, std::int32_t* finite);

  // Outside of networks: convsweep/matrix.h.
  std::size_t (*matmul_scratch_bytes)(const MatmulShape&, int width);
  void (*matmul)(ExecutionContext&, const MatmulCall&);
  std::size_t (*shortest_paths_scratch_bytes)(int vertices, bool with_next, int width);
  void (*shortest_paths)(ExecutionContext&, ShortestPathsCall&);

  const LayerKernels& layer(Op op) const;
  UpdateKernel update(Op op) const;
};

constexpr bool complete(const OpTable& table) {
  bool all = table.add != nullptr && table.copy != nullptr && table.gather != nullptr && table.check_finite != nullptr &&
             table.matmul_scratch_bytes != nullptr && table.matmul != nullptr && table.shortest_paths_scratch_bytes != nullptr &&
             table.shortest_paths != nullptr;
  all = all && table.draw_normal != nullptr && table.one_hot != nullptr;
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  all = all && table.name.forward != nullptr && table.name.backward != nullptr && table.name.scratch_bytes != nullptr;
#define CONVSWEEP_LOSS_OP(name) all = all && table.name != nullptr;
#define CONVSWEEP_UPDATE_OP(name, state) all = all && table.name != nullptr;
#include "ops/ops.def"
  return all;
}

class ThreadPool;
struct Dataset;

// Where operations read a data set's bytes (src/data/dataset.h says in which order).
struct DatasetMemory {
  virtual ~DatasetMemory() = default;
  const std::uint8_t* images = nullptr;
  const std::uint8_t* labels = nullptr;
};

// GCC under -fsanitize=undefined does not know that a function's address is not null (bug 71962).
#if defined(CONVSWEEP_SANITIZED)
#define CONVSWEEP_ASSERT_COMPLETE(table, text)
#else
#define CONVSWEEP_ASSERT_COMPLETE(table, text) static_assert(complete(table), text)
#endif

// Calls of operations, put down once, that can be done again and again at the cost of one call. Their arguments stay as
// they were; what lies in the memory they point to may change between.
class Recording {
 public:
  virtual ~Recording() = default;
  // As if the calls were made now, in their context.
  virtual void replay() = 0;

 protected:
  Recording() = default;
};

// A device with its memory. Host pointers are ordinary memory; device pointers come from allocate() alone.
class Backend {
 public:
  virtual ~Backend() = default;

  // `cpu`, `cuda`, `reference`, `emulated`: the first word of the fingerprint.
  virtual std::string name() const = 0;
  // What bytes may depend on beside the backend, its next word: `sm_90`. Empty on the CPU, whose bytes depend on nothing.
  virtual std::string generation() const { return ""; }
  virtual const OpTable& ops() const = 0;
  // Its layers do what LayerCall::fusion asks for; others never get such calls.
  virtual bool fuses() const { return false; }
  // Host memory can be used as device memory, and calls take effect before they return.
  virtual bool is_host() const = 0;

  // Operations of this context may split their outputs over the pool's threads; with null they stay on the caller's.
  virtual std::unique_ptr<ExecutionContext> context(ThreadPool* pool) = 0;

  // The operations that `calls` does in contexts of this backend, without doing them; null where there is nothing to gain.
  // `calls` must not copy, allocate or wait. The recording must not outlive the backend.
  virtual std::unique_ptr<Recording> record(const std::function<void()>& calls) {
    static_cast<void>(calls);
    return nullptr;
  }

  // 64-byte aligned, zeroed. Throws Error ENGINE_OUT_OF_MEMORY with the size asked for.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  // Synchronous.
  virtual void copy_in(void* device, const void* host, std::size_t bytes) = 0;
  virtual void copy_out(void* host, const void* device, std::size_t bytes) = 0;
  // There for as long as somebody holds it. Throws Error ENGINE_OUT_OF_MEMORY where it has to be copied and does not fit.
  virtual std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) = 0;
  // Bytes the device can hold in all, and now.
  virtual std::size_t memory_bytes() const = 0;
  virtual std::size_t free_bytes() const { return memory_bytes(); }
};

}  // namespace convsweep
