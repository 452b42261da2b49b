// CUDA on the host: runs the project's .cu files, compiled by an ordinary C++ compiler, block by block.
//
// Guarantees: every thread of a block is a fiber with its own stack, so barriers, warp shuffles and votes suspend just
// the thread that calls them. Between two such points the threads of a block, and the blocks of a grid, run one after
// another in an order drawn from set_seed(): a missing barrier shows as a wrong number for nearly every seed. Reported
// as EmulatorError with the kernel, the block and the source line: a barrier that some threads never reach
// (divergence), threads of one block at different barriers, shuffles whose mask does not fit those who call, launches
// beyond what hardware takes. Shared memory starts as garbage in each block and has exactly its size, on the heap.
// Works under AddressSanitizer and UndefinedBehaviorSanitizer, which then name the kernel's own line.
//
// Kernels compiled with -fsanitize=thread are watched for races too (race_detector.h): an EmulatorError names the
// kernel, both threads and the address, whatever the order in which they ran.
//
// Not here: speed, memory models (threads never truly run at once), tensor cores, asynchronous copies, cooperative
// groups. One launch at a time in a process; others wait.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct alignas(16) float4 {
  float x = 0, y = 0, z = 0, w = 0;
};
using cudaStream_t = struct EmulatedStream*;

// As in CUDA these are names of the global scope. The emulator sets them before it lets a thread run.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;
inline constexpr int warpSize = 32;

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace convsweep::emulator {

class EmulatorError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Fixes the orders in which threads and blocks run from here on.
void set_seed(std::uint64_t seed);

struct Launch {
  const char* kernel;
  dim3 grid, block;
  std::size_t shared;
};

// Runs body(argument) as every thread of the launch.
void run(const Launch& launch, void (*body)(void*), void* argument);

// Launches that wait to be done, as a graph's do.
using Tape = std::vector<std::function<void()>>;
// Where launches of this thread go instead of being done; null for nowhere.
inline thread_local Tape* tape = nullptr;

// Arguments are copied once, as a launch does.
template <class... Parameters, class... Arguments>
void launch(const char* name, dim3 grid, dim3 block, std::size_t shared, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  struct Call {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
  } call{kernel, std::tuple<Parameters...>(std::forward<Arguments>(arguments)...)};
  if (tape != nullptr) {
    tape->push_back([=] {
      std::apply([&](const auto&... copied) { launch(name, grid, block, shared, stream, kernel, copied...); },
                 call.arguments);
    });
    return;
  }
  run(
      Launch{name, grid, block, shared},
      [](void* raw) {
        auto& made = *static_cast<Call*>(raw);
        std::apply(made.kernel, made.arguments);
      },
      &call);
}

// The block's dynamic shared memory, aligned to 16 bytes.
void* dynamic_shared();
// The block's shared memory that `declaration` stands for.
void* static_shared(const void* declaration, std::size_t bytes);

// `Declaration` is a type that nothing else has.
template <class T, class Declaration>
T& shared(Declaration) {
  static_assert(alignof(T) <= 16);
  static const char key = 0;
  return *static_cast<T*>(static_shared(&key, sizeof(T)));
}

void block_barrier(const std::source_location& where);
// A barrier that answers whether any thread says so.
bool block_vote(bool says, const std::source_location& where);

// Tells the race detector of an access by the running thread; does nothing outside of launches.
void touch_memory(const void* memory, std::size_t bytes, bool writes);

enum class WarpOp { sync, shuffle, shuffle_up, shuffle_down, shuffle_xor, ballot };

// What a warp operation yields for the calling thread. `lane` is the source lane or the distance, by the operation.
std::uint64_t warp_operation(WarpOp op, unsigned mask, std::uint64_t value, int lane, int width,
                             const std::source_location& where);

template <class T>
T shuffle(WarpOp op, unsigned mask, T value, int lane, int width, const std::source_location& where) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  word = warp_operation(op, mask, word, lane, width, where);
  T result;
  std::memcpy(&result, &word, sizeof(T));
  return result;
}

}  // namespace convsweep::emulator

#define CONVSWEEP_HERE const std::source_location& where = std::source_location::current()

inline void __syncthreads(CONVSWEEP_HERE) { convsweep::emulator::block_barrier(where); }
inline int __syncthreads_or(int predicate, CONVSWEEP_HERE) {
  return convsweep::emulator::block_vote(predicate != 0, where) ? 1 : 0;
}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU, CONVSWEEP_HERE) {
  convsweep::emulator::warp_operation(convsweep::emulator::WarpOp::sync, mask, 0, 0, 32, where);
}
template <class T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, CONVSWEEP_HERE) {
  return convsweep::emulator::shuffle(convsweep::emulator::WarpOp::shuffle, mask, value, lane, width, where);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32, CONVSWEEP_HERE) {
  return convsweep::emulator::shuffle(convsweep::emulator::WarpOp::shuffle_up, mask, value, static_cast<int>(distance),
                                      width, where);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32, CONVSWEEP_HERE) {
  return convsweep::emulator::shuffle(convsweep::emulator::WarpOp::shuffle_down, mask, value,
                                      static_cast<int>(distance), width, where);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lanes, int width = 32, CONVSWEEP_HERE) {
  return convsweep::emulator::shuffle(convsweep::emulator::WarpOp::shuffle_xor, mask, value, lanes, width, where);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, CONVSWEEP_HERE) {
  return static_cast<unsigned>(convsweep::emulator::warp_operation(convsweep::emulator::WarpOp::ballot, mask,
                                                                   predicate != 0 ? 1 : 0, 0, 32, where));
}
inline int __any_sync(unsigned mask, int predicate, CONVSWEEP_HERE) {
  return __ballot_sync(mask, predicate, where) != 0;
}
inline int __all_sync(unsigned mask, int predicate, CONVSWEEP_HERE) {
  return __ballot_sync(mask, predicate, where) == mask;
}

#undef CONVSWEEP_HERE

// One thread runs at a time, so these are atomic as they stand. They answer the old value. No race between them.
#define CONVSWEEP_ATOMIC __attribute__((no_sanitize("thread")))
template <class T>
CONVSWEEP_ATOMIC T atomicAdd(T* address, T value) {
  const T old = *address;
  *address = old + value;
  return old;
}
template <class T>
CONVSWEEP_ATOMIC T atomicMax(T* address, T value) {
  const T old = *address;
  if (old < value) *address = value;
  return old;
}
template <class T>
CONVSWEEP_ATOMIC T atomicCAS(T* address, T expected, T value) {
  const T old = *address;
  if (old == expected) *address = value;
  return old;
}
#undef CONVSWEEP_ATOMIC
