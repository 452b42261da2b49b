// The one way kernels are launched, and the few names that differ between nvcc and a host compiler.
//
// Guarantees: the same .cu source is a CUDA kernel under nvcc and, under an ordinary C++ compiler, a kernel that the
// host emulator of the tests runs (test/emulator). Under nvcc a launch that the runtime refuses throws Error
// ENGINE_INTERNAL with the kernel's name, or ENGINE_DEVICE_LOST where the device is broken; what goes wrong while it runs shows at the next synchronisation.
//
// Everything in these sources stands in namespace convsweep::CONVSWEEP_CUDA_NAMESPACE: `cuda` under nvcc, `emulated` in
// the tests, `raced` where races are looked for, and one of its own for each copy with a planted fault.
#pragma once

#include "convsweep/backend.h"
#include "convsweep/error.h"

// CONVSWEEP_CUDA_RUNTIME: host code that works on the real runtime, without kernels (cuda_device.cpp).
#if defined(__CUDACC__) || defined(CONVSWEEP_CUDA_RUNTIME)

#include <cuda_runtime.h>

#ifndef CONVSWEEP_CUDA_NAMESPACE
#define CONVSWEEP_CUDA_NAMESPACE cuda
#endif
#define CONVSWEEP_CUDA_HOST cuda

// A kernel whose name has a comma in it stands in parentheses.
#define CONVSWEEP_LAUNCH(kernel, grid, block, shared, stream, ...) \
  do {                                                             \
    kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__);  \
    ::convsweep::CONVSWEEP_CUDA_NAMESPACE::check_launch(#kernel);  \
  } while (false)

// Declares `name` as shared memory of the block.
#define CONVSWEEP_SHARED(type, name) __shared__ type name

// Declares `name` as the block's dynamic shared memory, as an array of `type`.
#define CONVSWEEP_DYNAMIC_SHARED(type, name)                                \
  extern __shared__ __align__(16) unsigned char convsweep_dynamic_shared[]; \
  type* const name = reinterpret_cast<type*>(convsweep_dynamic_shared)

#else

#include "emulator/cuda_emu.h"

#ifndef CONVSWEEP_CUDA_NAMESPACE
#if defined(CONVSWEEP_CUDA_NAMESPACE_DEFAULT)
#define CONVSWEEP_CUDA_NAMESPACE CONVSWEEP_CUDA_NAMESPACE_DEFAULT
#else
#define CONVSWEEP_CUDA_NAMESPACE emulated
#endif
#endif
#define CONVSWEEP_CUDA_HOST emulator

#define CONVSWEEP_LAUNCH(kernel, grid, block, shared, stream, ...) \
  ::convsweep::emulator::launch(#kernel, (grid), (block), (shared), (stream), kernel, __VA_ARGS__)

// The lambda's type tells one declaration, and one instance of a template, from another.
#define CONVSWEEP_SHARED(type, name) type& name = ::convsweep::emulator::shared<type>([] {})

#define CONVSWEEP_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(::convsweep::emulator::dynamic_shared())

#endif

namespace convsweep::CONVSWEEP_CUDA_HOST {

// A stream of a device: every kernel of a call runs in it. One type for all copies of the kernels.
class CudaContext final : public ExecutionContext {
 public:
  explicit CudaContext(cudaStream_t of) : stream(of) {}
  cudaStream_t stream;
};

}  // namespace convsweep::CONVSWEEP_CUDA_HOST

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {

inline CONVSWEEP_CUDA_HOST::CudaContext& cast(ExecutionContext& context) {
  return static_cast<CONVSWEEP_CUDA_HOST::CudaContext&>(context);
}

// Memory of a lane as floats; scratch memory and what is saved are bytes aligned to 64.
inline Lanes<float> as_floats(const Lanes<std::byte>& bytes) {
  return {reinterpret_cast<float*>(bytes.base), bytes.stride / static_cast<std::ptrdiff_t>(sizeof(float))};
}

#if defined(__CUDACC__) || defined(CONVSWEEP_CUDA_RUNTIME)
// `what` failed. An error that stays, whatever is called next, is the device's: only a new process can use it again.
inline Error cuda_error(cudaError_t status, const std::string& what) {
  const std::string message = what + ": " + cudaGetErrorString(status);
  cudaGetLastError();
  const cudaError_t next = cudaDeviceSynchronize();
  cudaGetLastError();
  if (next != cudaSuccess) return Error(ErrorCode::ENGINE_DEVICE_LOST, "", "the device is lost; " + message);
  return Error(status == cudaErrorMemoryAllocation ? ErrorCode::ENGINE_OUT_OF_MEMORY : ErrorCode::ENGINE_INTERNAL, "",
               message);
}

inline void check_launch(const char* kernel) {
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) throw cuda_error(status, std::string("kernel ") + kernel + " could not be launched");
}
#endif

// Mistakes that tests plant into copies of the kernels, to see that the emulator and the guard zones catch them. The
// product has none: there every test of `planted` is a constant false.
enum class Fault { none, missing_barrier, early_return, unguarded_tail, wrong_index, race_between_warps };
#ifndef CONVSWEEP_PLANTED_FAULT
#define CONVSWEEP_PLANTED_FAULT none
#endif
inline constexpr Fault planted = Fault::CONVSWEEP_PLANTED_FAULT;

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
