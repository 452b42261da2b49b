// Whether all of a lane's values are finite: a block a lane, which strides over them.
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

constexpr int threads = 1024, warps = threads / 32;
constexpr unsigned whole_warp = 0xFFFFFFFFU;

__global__ void __launch_bounds__(threads)
    check_finite_kernel(LaneSet lanes, Lanes<const float> values, std::int64_t count, std::int32_t* finite) {
  using Flags = int[warps];
  CONVSWEEP_SHARED(Flags, bad_of_warp);
  const int lane = lanes[static_cast<int>(blockIdx.x)];
  const int thread = static_cast<int>(threadIdx.x);
  bool bad = false;
  for (std::int64_t i = thread; i < count; i += threads) {
    const float value = values[lane][i];
    // Neither infinity nor NaN leaves zero.
    bad = bad || !(value - value == 0.0F);
  }
  const int any = __any_sync(whole_warp, bad ? 1 : 0);
  if (thread % 32 == 0) bad_of_warp[thread / 32] = any;
  __syncthreads();
  if (thread != 0) return;
  int found = 0;
  for (int warp = 0; warp < warps; ++warp) found |= bad_of_warp[warp];
  finite[lane] = found == 0 ? 1 : 0;
}

}  // namespace

void check_finite(ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite) {
  CONVSWEEP_LAUNCH(check_finite_kernel, dim3(static_cast<unsigned>(lanes.count)), dim3(threads), 0,
                   cast(context).stream, lanes, values, count, finite);
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
