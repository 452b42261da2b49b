// The emulator's scheduler: blocks and fibers. How they meet stands in waits.cpp.
#include "emulator/cuda_emu.h"

#include <mutex>
#include <utility>

#include "emulator/scheduler.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Left as it is by AddressSanitizer, to which a jump is a function that never returns.
// noipa: callers must not count on registers that a function seems to leave alone, since other fibers run meanwhile.
#define CONVSWEEP_UNWATCHED [[gnu::noipa, gnu::no_sanitize("address")]]

namespace convsweep::emulator {
namespace {

std::uint64_t seed_state = 1;

// SplitMix64.
std::uint64_t draw() {
  std::uint64_t z = (seed_state += 0x9E3779B97F4A7C15U);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

template <class T>
void shuffle_order(std::vector<T>& items) {
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draw() % i]);
}

Scheduler scheduler;
// Whether this thread of the host runs a thread of a block.
thread_local bool in_fiber = false;
std::mutex one_launch;

}  // namespace

void Scheduler::check() const {
  const auto count = [](const dim3& d) { return std::uint64_t{d.x} * d.y * d.z; };
  const dim3 &g = launch_->grid, &b = launch_->block;
  const auto refuse = [&](const std::string& what) { throw EmulatorError(std::string(launch_->kernel) + ": " + what); };
  if (count(b) < 1 || count(b) > most_threads || b.z > most_block_z) {
    refuse(std::to_string(count(b)) + " threads a block; hardware takes 1 to 1024, at most 64 of them in z");
  }
  if (count(g) < 1 || g.x > 0x7FFFFFFFU || g.y > most_grid_yz || g.z > most_grid_yz) {
    refuse("a grid of " + std::to_string(g.x) + " x " + std::to_string(g.y) + " x " + std::to_string(g.z) +
           " blocks; hardware takes at least one and at most 65535 in y and z");
  }
  if (launch_->shared > most_shared) {
    refuse(std::to_string(launch_->shared) + " bytes of dynamic shared memory; 49152 at most without asking");
  }
}

void Scheduler::run(const Launch& launch, void (*body)(void*), void* argument) {
  launch_ = &launch;
  body_ = body;
  argument_ = argument;
  check();
  threads_ = launch.block.x * launch.block.y * launch.block.z;
  // A fiber's context must not move.
  fibers_.reserve(most_threads);
  if (fibers_.size() < threads_) fibers_.resize(threads_);
  gridDim = launch.grid;
  blockDim = launch.block;
  std::vector<std::uint64_t> order(std::uint64_t{launch.grid.x} * launch.grid.y * launch.grid.z);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  shuffle_order(order);
  races_.begin_launch();
  for (const std::uint64_t block : order) {
    block_ = block;
    blockIdx = index_of(block);
    try {
      run_block();
    } catch (...) {
      // Those in the middle of a thread never come to its end.
      for (Fiber& fiber : fibers_) fiber.begun = fiber.begun && fiber.state == State::done;
      throw;
    }
  }
}

void Scheduler::run_block() {
  shared_ = garbage(launch_->shared);
  static_.clear();
  shared_bytes_ = launch_->shared;
  barriers_ = 0;
  for (unsigned i = 0; i < threads_; ++i) start(fibers_[i], i);
  std::vector<Fiber*> ready;
  for (;;) {
    ready.clear();
    bool waiting = false;
    for (unsigned i = 0; i < threads_; ++i) {
      if (fibers_[i].state == State::ready) ready.push_back(&fibers_[i]);
      waiting = waiting || fibers_[i].state == State::at_barrier || fibers_[i].state == State::at_warp;
    }
    if (ready.empty()) {
      if (!waiting) return;
      if (!release_warps()) release_barrier();
      continue;
    }
    shuffle_order(ready);
    for (Fiber* fiber : ready) {
      resume(*fiber);
      if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
    }
  }
}

void Scheduler::start(Fiber& fiber, unsigned index) {
  const dim3& b = launch_->block;
  fiber.thread = uint3{index % b.x, index / b.x % b.y, index / b.x / b.y};
  fiber.warp = index / 32;
  fiber.lane = index % 32;
  fiber.state = State::ready;
  fiber.warp_operations = 0;
  if (fiber.begun) return;
  fiber.fake_stack = nullptr;
#if defined(__SANITIZE_ADDRESS__)
  // Of frames that a thread which never came to its end has left.
  __asan_unpoison_memory_region(fiber.stack.get(), stack_bytes);
#endif
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Scheduler::entry, 0);
}

[[noreturn, gnu::noinline, gnu::no_sanitize("address")]] static void go_to(Place& place) {
  __builtin_longjmp(place.words, 1);
}

CONVSWEEP_UNWATCHED void Scheduler::resume(Fiber& fiber) {
  current_ = &fiber;
  threadIdx = fiber.thread;
  in_fiber = true;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), stack_bytes);
#endif
  if (__builtin_setjmp(home_place_.words) == 0) {
    if (fiber.begun) go_to(fiber.place);
    fiber.begun = true;
    setcontext(&fiber.context);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  in_fiber = false;
  current_ = nullptr;
}

// Back to the scheduler; returns when it lets the fiber go on.
CONVSWEEP_UNWATCHED void Scheduler::leave(Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fiber.fake_stack, home_stack_, home_stack_bytes_);
#endif
  if (__builtin_setjmp(fiber.place.words) == 0) go_to(home_place_);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &home_stack_, &home_stack_bytes_);
#endif
}

void Scheduler::entry() {
  Scheduler& self = scheduler;
  Fiber& fiber = *self.current_;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &self.home_stack_, &self.home_stack_bytes_);
#endif
  for (;;) {
    try {
      self.body_(self.argument_);
    } catch (...) {
      self.failure_ = std::current_exception();
    }
    fiber.state = State::done;
    self.leave(fiber);
  }
}

void set_seed(std::uint64_t seed) {
  const std::lock_guard lock(one_launch);
  seed_state = seed;
}

void run(const Launch& launch, void (*body)(void*), void* argument) {
  thread_local bool within = false;
  if (within) throw EmulatorError(std::string(launch.kernel) + ": launched from within a kernel");
  const std::lock_guard lock(one_launch);
  within = true;
  try {
    scheduler.run(launch, body, argument);
  } catch (...) {
    within = false;
    throw;
  }
  within = false;
}

void* dynamic_shared() { return scheduler.shared(); }
void* static_shared(const void* declaration, std::size_t bytes) { return scheduler.shared(declaration, bytes); }

void touch_memory(const void* memory, std::size_t bytes, bool writes) {
  if (in_fiber) scheduler.touch(memory, bytes, writes);
}

void block_barrier(const std::source_location& where) { scheduler.barrier(where); }

bool block_vote(bool says, const std::source_location& where) {
  static bool any = false;
  // The last vote was read before the first of these, and is forgotten before the second.
  scheduler.barrier(where);
  any = false;
  scheduler.barrier(where);
  any = any || says;
  scheduler.barrier(where);
  return any;
}

std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t value, int lane, int width,
                             const std::source_location& where) {
  return scheduler.warp(op, mask, value, lane, width, where);
}

}  // namespace convsweep::emulator
