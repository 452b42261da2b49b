// The emulator's scheduler: fibers, barriers, warp operations.
#include "emulator/cuda_emu.h"

#include <setjmp.h>
#include <ucontext.h>

#include <exception>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace convsweep::emulator {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr std::size_t stack_bytes = 256 << 10;
#else
constexpr std::size_t stack_bytes = 64 << 10;
#endif
// What every supported device takes without asking for more.
constexpr unsigned most_threads = 1024, most_grid_yz = 65535, most_block_z = 64;
constexpr std::size_t most_shared = 48 << 10;

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

enum class State { ready, at_barrier, at_warp, done };

// Kept from block to block: each time it goes on, it runs one thread to its end.
struct Fiber {
  ucontext_t context;
  // Where it waits, once it has begun. Jumps are many times faster than contexts, which change the signal mask.
  jmp_buf place;
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
};

std::string text(const uint3& v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string text(const std::source_location& where) {
  const std::string file = where.file_name();
  const std::size_t slash = file.rfind('/');
  return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" + std::to_string(where.line());
}

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

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
    static_.push_back({declaration, garbage(bytes)});
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

  void check() const;
  void run_block();
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
  ucontext_t home_;
  jmp_buf home_place_;
  Fiber* current_ = nullptr;
  std::exception_ptr failure_;
  const void* home_stack_ = nullptr;  // AddressSanitizer's
  std::size_t home_stack_bytes_ = 0;
};

Scheduler scheduler;
std::mutex one_launch;

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
  for (const std::uint64_t block : order) {
    blockIdx = uint3{static_cast<unsigned>(block % launch.grid.x),
                     static_cast<unsigned>(block / launch.grid.x % launch.grid.y),
                     static_cast<unsigned>(block / launch.grid.x / launch.grid.y)};
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
  if (fiber.begun) return;
  fiber.fake_stack = nullptr;
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = fiber.stack.get();
  fiber.context.uc_stack.ss_size = stack_bytes;
  fiber.context.uc_link = nullptr;
  makecontext(&fiber.context, &Scheduler::entry, 0);
}

void Scheduler::resume(Fiber& fiber) {
  current_ = &fiber;
  threadIdx = fiber.thread;
#if defined(__SANITIZE_ADDRESS__)
  // AddressSanitizer has a jump of its own, which knows nothing of other stacks.
  fiber.begun = true;
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, fiber.stack.get(), stack_bytes);
  swapcontext(&home_, &fiber.context);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  if (_setjmp(home_place_) == 0) {
    if (fiber.begun) _longjmp(fiber.place, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
  }
#endif
  current_ = nullptr;
}

// Back to the scheduler; returns when it lets the fiber go on.
void Scheduler::leave(Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&fiber.fake_stack, home_stack_, home_stack_bytes_);
  swapcontext(&fiber.context, &home_);
  __sanitizer_finish_switch_fiber(fiber.fake_stack, &home_stack_, &home_stack_bytes_);
#else
  if (_setjmp(fiber.place) == 0) _longjmp(home_place_, 1);
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

// Lets every warp operation go on whose threads are all there. False when there is none.
bool Scheduler::release_warps() {
  bool any = false;
  for (unsigned i = 0; i < threads_; ++i) {
    if (fibers_[i].state == State::at_warp) any = finish_warp_operation(fibers_[i]) || any;
  }
  return any;
}

bool Scheduler::finish_warp_operation(const Fiber& first) {
  Fiber* warp = &fibers_[first.warp * 32];
  const unsigned size = std::min(32U, threads_ - first.warp * 32);
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((first.mask >> lane & 1U) == 0) continue;
    if (lane >= size) fail(first, "names lane " + std::to_string(lane) + " of a warp of " + std::to_string(size));
    const Fiber& other = warp[lane];
    if (other.state == State::done) fail(first, "waits for lane " + std::to_string(lane) + ", which has returned");
    if (other.state != State::at_warp) return false;
    if (!same_place(other.where, first.where) || other.mask != first.mask || other.op != first.op) {
      fail(first, "waits with a mask that names lane " + std::to_string(lane) + ", which waits at " +
                      text(other.where) + " with " + (other.mask == first.mask ? "the same mask" : "another mask"));
    }
  }
  const unsigned mask = first.mask;
  for (unsigned lane = 0; lane < size; ++lane) {
    if ((mask >> lane & 1U) != 0) warp[lane].result = yields(warp[lane], warp);
  }
  for (unsigned lane = 0; lane < size; ++lane) {
    if ((mask >> lane & 1U) != 0) warp[lane].state = State::ready;
  }
  return true;
}

// As the CUDA programming guide defines it: a source beyond the segment of `width` lanes means one's own value.
std::uint64_t Scheduler::yields(const Fiber& fiber, const Fiber* warp) const {
  if (fiber.op == WarpOp::sync) return 0;
  if (fiber.op == WarpOp::ballot) {
    std::uint64_t votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if ((fiber.mask >> lane & 1U) != 0 && warp[lane].value != 0) votes |= std::uint64_t{1} << lane;
    }
    return votes;
  }
  const int own = static_cast<int>(fiber.lane), first = own & ~(fiber.width - 1), last = first + fiber.width - 1;
  int source = own;
  if (fiber.op == WarpOp::shuffle) source = first + (fiber.source & (fiber.width - 1));
  if (fiber.op == WarpOp::shuffle_up) source = own - fiber.source;
  if (fiber.op == WarpOp::shuffle_down) source = own + fiber.source;
  if (fiber.op == WarpOp::shuffle_xor) source = own ^ fiber.source;
  if (source < first || source > last) source = own;
  if ((fiber.mask >> source & 1U) == 0) {
    fail(fiber, "reads from lane " + std::to_string(source) + ", which its mask leaves out");
  }
  return warp[source].value;
}

void Scheduler::release_barrier() {
  unsigned returned = 0, waiting = 0;
  std::map<std::string, unsigned> places;
  const Fiber* first = nullptr;
  for (unsigned i = 0; i < threads_; ++i) {
    Fiber& fiber = fibers_[i];
    if (fiber.state == State::done) {
      ++returned;
      continue;
    }
    if (fiber.state == State::at_warp) fail(fiber, "waits for threads of its warp that wait elsewhere");
    ++waiting;
    ++places[text(fiber.where)];
    if (first == nullptr) first = &fiber;
  }
  if (returned > 0) {
    fail("barrier divergence: " + std::to_string(waiting) + " threads wait at " + text(first->where) + ", " +
         std::to_string(returned) + " have returned");
  }
  if (places.size() > 1) {
    std::string list;
    for (const auto& [place, count] : places) {
      list += (list.empty() ? "" : ", ") + std::to_string(count) + " at " + place;
    }
    fail("barrier divergence: threads wait at different barriers: " + list);
  }
  for (unsigned i = 0; i < threads_; ++i) fibers_[i].state = State::ready;
}

}  // namespace

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

void block_barrier(const std::source_location& where) { scheduler.barrier(where); }

std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t value, int lane, int width,
                             const std::source_location& where) {
  return scheduler.warp(op, mask, value, lane, width, where);
}

}  // namespace convsweep::emulator
