// Small kernels that try out one feature of the emulator each.
#pragma once

#include <cstdint>
#include <vector>

namespace convsweep::emulator::probe {

// order[i]: which thread came as the i-th past no barrier at all.
std::vector<int> running_order(int threads);
// Sums 1..threads in shared memory with barriers, in a tree; threads is a power of two.
int tree_sum(int threads);
// The first word of static and of dynamic shared memory as each block finds it.
std::vector<std::uint32_t> fresh_shared_memory(int blocks);
// Each thread's own number seen through a shuffle: `how` is i(dx), u(p), d(own), x(or).
std::vector<int> shuffled(char how, int threads, int argument, int width);
std::vector<std::uint32_t> votes(int threads, unsigned mask);
// How often each element of a three-dimensional grid of threads is visited, x fastest.
std::vector<std::uint64_t> coordinates();

void divergent_barrier(int threads, int returning);
void different_barriers();
void shuffle_with_absent_lane();
void shuffle_without_itself();
void shuffle_and_barrier();
void shuffle_from_lane_left_out();
void launch_of(unsigned threads, unsigned grid_y, std::size_t shared);
void throwing_kernel();
void nested_launch();
int atomics(int threads);

}  // namespace convsweep::emulator::probe
