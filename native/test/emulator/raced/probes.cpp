#include "backend/cuda/launch.h"
#include "emulator/raced/kernels.h"

namespace convsweep::raced_probe {
namespace {

using Words = int[64];

__global__ void hand_over_kernel(char after, int reader, int* found) {
  CONVSWEEP_SHARED(Words, words);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) words[3] = 7;
  if (after == 'b') __syncthreads();
  if (after == 'w') __syncwarp();
  if (thread == reader) *found = words[3];
}

__global__ void same_value_kernel(unsigned char* flag) { *flag = 1; }

__global__ void neighbours_kernel(unsigned char* bytes) {
  bytes[threadIdx.x] = static_cast<unsigned char>(threadIdx.x);
}

__global__ void blocks_kernel(int* to, bool same) { to[same ? 0 : blockIdx.x] = static_cast<int>(blockIdx.x); }

}  // namespace

void hand_over(char after, bool across) {
  int found = 0;
  CONVSWEEP_LAUNCH(hand_over_kernel, dim3(1), dim3(64), 0, nullptr, after, across ? 32 : 1, &found);
}

void same_value() {
  unsigned char flag = 0;
  CONVSWEEP_LAUNCH(same_value_kernel, dim3(1), dim3(2), 0, nullptr, &flag);
}

void neighbours() {
  unsigned char bytes[64];
  CONVSWEEP_LAUNCH(neighbours_kernel, dim3(1), dim3(64), 0, nullptr, bytes);
}

void blocks(bool same) {
  int to[4];
  CONVSWEEP_LAUNCH(blocks_kernel, dim3(4), dim3(1), 0, nullptr, to, same);
}

}  // namespace convsweep::raced_probe
