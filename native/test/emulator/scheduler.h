// What the emulator keeps of a launch: the fibers of a block, its shared memory, who waits for what.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <source_location>
#include <string>
#include <vector>

#include "emulator/cuda_emu.h"
#include "emulator/race_detector.h"

namespace convsweep::emulator {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t stack_bytes = 256 << 10;
#else
inline constexpr std::size_t stack_bytes = 64 << 10;
#endif
// What every supported device takes without asking for more.
inline constexpr unsigned most_threads = 1024, most_grid_yz = 65535, most_block_z = 64;
inline constexpr std::size_t most_shared = 48 << 10;

enum class State { ready, at_barrier, at_warp, done };

// Where code of one stack waits for another. The compiler's own jumps are many times faster than contexts, which change the
// signal mask, and than the library's, at each of which AddressSanitizer clears what it knows of the stack.
struct Place {
  void* words[5];
};

// Kept from block to block: each time it goes on, it runs one thread to its end.
struct Fiber {
  ucontext_t context;
  Place place;
  bool begun = false;
  std::unique_ptr<char[]> stack{new char[stack_bytes]};
  void* fake_stack = nullptr;  // AddressSanitizer's
  uint3 thread;
  unsigned warp = 0, lane = 0;
  State state = State::done;
  // Why it waits.
  std::source_location where;
  WarpOp op = WarpOp::sync;
  unsigned mask = 0;
  std::uint64_t value = 0, result = 0;
  int source = 0, width = 32;
  // Operations of the whole warp that it came through in this block.
  std::uint16_t warp_operations = 0;
};

std::string text(const uint3& v);
std::string text(const std::source_location& where);

class Scheduler {
 public:
  void run(const Launch& launch, void (*body)(void*), void* argument);

  // Called by the running fiber.
  void barrier(const std::source_location& where) {
    Fiber& self = *current_;
    self.state = State::at_barrier;
    self.where = where;
    leave(self);
  }
  std::uint64_t warp(WarpOp op, unsigned mask, std::uint64_t value, int source, int width,
                     const std::source_location& where) {
    Fiber& self = *current_;
    self.where = where;
    if ((mask >> self.lane & 1U) == 0) fail(self, "calls with a mask that leaves itself out");
    if (width < 1 || width > 32 || (width & (width - 1)) != 0)
      fail(self, "gives a width that is no power of two up to 32");
    self.state = State::at_warp;
    self.op = op;
    self.mask = mask;
    self.value = value;
    self.source = source;
    self.width = width;
    leave(self);
    return self.result;
  }
  void* shared() const { return shared_.get(); }
  // The running fiber's own variables are nobody else's.
  void touch(const void* memory, std::size_t bytes, bool writes) {
    const Fiber& self = *current_;
    const char* const at = static_cast<const char*>(memory);
    if (at >= self.stack.get() && at < self.stack.get() + stack_bytes) return;
    const Moment now{static_cast<std::uint16_t>(self.warp * 32 + self.lane), self.warp_operations, barriers_, block_};
    const RaceDetector::Race* const race = races_.touch(memory, bytes, writes, is_shared(memory), now);
    if (race != nullptr && !failure_) failure_ = std::make_exception_ptr(EmulatorError(told(*race, writes)));
  }
  // Declarations are few.
  void* shared(const void* declaration, std::size_t bytes) {
    for (const SharedBlock& block : static_) {
      if (block.declaration == declaration) return block.memory.get();
    }
    shared_bytes_ += bytes;
    if (shared_bytes_ > most_shared) {
      fail("declares " + std::to_string(shared_bytes_) +
           " bytes of shared memory in all; 49152 at most without asking");
    }
    static_.push_back({declaration, garbage(bytes), bytes});
    return static_.back().memory.get();
  }

 private:
  struct AlignedDelete {
    void operator()(void* p) const { ::operator delete[](p, std::align_val_t{16}); }
  };
  using Memory = std::unique_ptr<void, AlignedDelete>;
  struct SharedBlock {
    const void* declaration;
    Memory memory;
    std::size_t bytes;
    bool holds(const void* address) const { return within(address, memory.get(), bytes); }
    static bool within(const void* address, const void* memory, std::size_t bytes) {
      const auto at = reinterpret_cast<std::uintptr_t>(address), first = reinterpret_cast<std::uintptr_t>(memory);
      return at >= first && at - first < bytes;
    }
  };
  // All ones: NaN as a float, -1 as an integer.
  static Memory garbage(std::size_t bytes) {
    Memory memory(::operator new[](bytes, std::align_val_t{16}));
    std::memset(memory.get(), 0xFF, bytes);
    return memory;
  }

  [[noreturn]] void fail(const std::string& what) const {
    throw EmulatorError(std::string(launch_->kernel) + ", block " + text(blockIdx) + ": " + what);
  }
  [[noreturn]] void fail(const Fiber& fiber, const std::string& what) const {
    fail("thread " + text(fiber.thread) + " at " + text(fiber.where) + " " + what);
  }

  // Whether the memory is the running block's alone.
  bool is_shared(const void* memory) const {
    for (const SharedBlock& block : static_) {
      if (block.holds(memory)) return true;
    }
    return SharedBlock::within(memory, shared_.get(), launch_->shared);
  }
  std::string told(const RaceDetector::Race& race, bool writes) const;
  void check() const;
  void run_block();
  uint3 index_of(std::uint64_t block) const;
  void start(Fiber& fiber, unsigned index);
  void resume(Fiber& fiber);
  void leave(Fiber& fiber);
  static void entry();
  bool release_warps();
  bool finish_warp_operation(const Fiber& first);
  std::uint64_t yields(const Fiber& fiber, const Fiber* warp) const;
  void release_barrier();

  const Launch* launch_ = nullptr;
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  std::vector<Fiber> fibers_;  // kept from launch to launch
  unsigned threads_ = 0;
  Memory shared_;
  std::vector<SharedBlock> static_;
  std::size_t shared_bytes_ = 0;
  Place home_place_;
  Fiber* current_ = nullptr;
  std::exception_ptr failure_;
  RaceDetector races_;
  std::uint64_t block_ = 0;
  std::uint32_t barriers_ = 0;
  const void* home_stack_ = nullptr;  // AddressSanitizer's
  std::size_t home_stack_bytes_ = 0;
};

}  // namespace convsweep::emulator
