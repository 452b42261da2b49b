#include "emulator/probe_kernels.h"

#include "backend/cuda/launch.h"

namespace convsweep::emulator::probe {
namespace {

constexpr unsigned all = 0xFFFFFFFFU;

int thread_of_block() { return static_cast<int>(threadIdx.x); }

__global__ void order_kernel(int* order, int* next) { order[atomicAdd(next, 1)] = thread_of_block(); }

__global__ void tree_sum_kernel(int* result) {
  using Sums = int[1024];
  CONVSWEEP_SHARED(Sums, sums);
  const int thread = thread_of_block(), threads = static_cast<int>(blockDim.x);
  sums[thread] = thread + 1;
  __syncthreads();
  for (int half = threads / 2; half > 0; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    __syncthreads();
  }
  if (thread == 0) *result = sums[0];
}

__global__ void fresh_kernel(std::uint32_t* found) {
  CONVSWEEP_SHARED(std::uint32_t, fixed);
  CONVSWEEP_DYNAMIC_SHARED(std::uint32_t, dynamic);
  found[2 * blockIdx.x] = fixed;
  found[2 * blockIdx.x + 1] = dynamic[0];
  fixed = dynamic[0] = 7;
}

__global__ void shuffle_kernel(char how, int argument, int width, unsigned mask, int* found) {
  const int own = thread_of_block();
  const unsigned distance = static_cast<unsigned>(argument);
  if (how == 'i') found[own] = __shfl_sync(mask, own, argument, width);
  if (how == 'u') found[own] = __shfl_up_sync(mask, own, distance, width);
  if (how == 'd') found[own] = __shfl_down_sync(mask, own, distance, width);
  if (how == 'x') found[own] = __shfl_xor_sync(mask, own, argument, width);
}

__global__ void vote_kernel(unsigned mask, std::uint32_t* found) {
  const int own = thread_of_block();
  if ((mask >> own & 1U) != 0) found[own] = __ballot_sync(mask, own % 3 == 0 ? 1 : 0);
}

__global__ void coordinates_kernel(std::uint64_t* found) {
  const std::uint64_t x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y,
                      z = blockIdx.z * blockDim.z + threadIdx.z;
  const std::uint64_t width = gridDim.x * blockDim.x, height = gridDim.y * blockDim.y;
  found[(z * height + y) * width + x] += 1;
}

__global__ void divergent_kernel(int returning) {
  if (thread_of_block() < returning) return;
  __syncthreads();
}

__global__ void different_kernel() {
  if (thread_of_block() % 2 == 0) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void absent_kernel() {
  if (thread_of_block() == 3) return;
  __shfl_xor_sync(all, 1, 1);
}

__global__ void itself_kernel() { __shfl_sync(0xFFFFFFFEU, 1, 1); }

__global__ void mixed_kernel() {
  if (thread_of_block() < 16) {
    __syncthreads();
  } else {
    __syncwarp(all);
  }
}

__global__ void left_out_kernel() {
  if (thread_of_block() < 16) __shfl_sync(0xFFFFU, 1, 20);
}

__global__ void empty_kernel(int) {}

__global__ void throwing(int thread) {
  if (thread_of_block() == thread) throw EmulatorError("thrown by a thread");
  __syncthreads();
}

__global__ void nesting(int) { CONVSWEEP_LAUNCH(empty_kernel, dim3(1), dim3(1), 0, nullptr, 0); }

__global__ void atomics_kernel(int* sum, int* most, int* owner) {
  atomicAdd(sum, 2);
  atomicMax(most, thread_of_block());
  atomicCAS(owner, -1, thread_of_block());
}

}  // namespace

std::vector<int> running_order(int threads) {
  std::vector<int> order(static_cast<std::size_t>(threads));
  int next = 0;
  CONVSWEEP_LAUNCH(order_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, order.data(), &next);
  return order;
}

int tree_sum(int threads) {
  int result = 0;
  CONVSWEEP_LAUNCH(tree_sum_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, &result);
  return result;
}

std::vector<std::uint32_t> fresh_shared_memory(int blocks) {
  std::vector<std::uint32_t> found(static_cast<std::size_t>(2 * blocks));
  CONVSWEEP_LAUNCH(fresh_kernel, dim3(static_cast<unsigned>(blocks)), dim3(1), sizeof(std::uint32_t), nullptr,
                   found.data());
  return found;
}

std::vector<int> shuffled(char how, int threads, int argument, int width) {
  std::vector<int> found(static_cast<std::size_t>(threads), -1);
  const unsigned mask = threads >= 32 ? all : (1U << threads) - 1U;
  CONVSWEEP_LAUNCH(shuffle_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, how, argument, width,
                   mask, found.data());
  return found;
}

std::vector<std::uint32_t> votes(int threads, unsigned mask) {
  std::vector<std::uint32_t> found(static_cast<std::size_t>(threads));
  CONVSWEEP_LAUNCH(vote_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, mask, found.data());
  return found;
}

std::vector<std::uint64_t> coordinates() {
  std::vector<std::uint64_t> found(2 * 5 * 3 * 2 * 2 * 3);
  CONVSWEEP_LAUNCH(coordinates_kernel, dim3(2, 3, 2), dim3(5, 2, 3), 0, nullptr, found.data());
  return found;
}

void divergent_barrier(int threads, int returning) {
  CONVSWEEP_LAUNCH(divergent_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, returning);
}

// A launch takes arguments; these kernels have none of their own.
void different_barriers() { launch("different_kernel", dim3(1), dim3(64), 0, nullptr, different_kernel); }
void shuffle_with_absent_lane() { launch("absent_kernel", dim3(1), dim3(32), 0, nullptr, absent_kernel); }
void shuffle_without_itself() { launch("itself_kernel", dim3(1), dim3(32), 0, nullptr, itself_kernel); }
void shuffle_and_barrier() { launch("mixed_kernel", dim3(1), dim3(32), 0, nullptr, mixed_kernel); }
void shuffle_from_lane_left_out() { launch("left_out_kernel", dim3(1), dim3(32), 0, nullptr, left_out_kernel); }

void launch_of(unsigned threads, unsigned grid_y, std::size_t shared) {
  CONVSWEEP_LAUNCH(empty_kernel, dim3(1, grid_y), dim3(threads), shared, nullptr, 0);
}

void throwing_kernel() { CONVSWEEP_LAUNCH(throwing, dim3(1), dim3(8), 0, nullptr, 5); }

void nested_launch() { CONVSWEEP_LAUNCH(nesting, dim3(1), dim3(1), 0, nullptr, 0); }

int atomics(int threads) {
  int sum = 0, most = -1, owner = -1;
  CONVSWEEP_LAUNCH(atomics_kernel, dim3(1), dim3(static_cast<unsigned>(threads)), 0, nullptr, &sum, &most, &owner);
  return owner >= 0 && owner < threads && most == threads - 1 ? sum : -1;
}

}  // namespace convsweep::emulator::probe
