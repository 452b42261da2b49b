// The CUDA emulator itself: what it runs, what it reports.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <algorithm>
#include <set>

#include "doctest/doctest.h"
#include "emulator/cuda_emu.h"
#include "emulator/probe_kernels.h"

using namespace convsweep::emulator;

namespace {

template <class F>
std::string error_of(F f) {
  try {
    f();
  } catch (const EmulatorError& error) {
    return error.what();
  }
  return "no error";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("emulator: every thread of every block runs once, at its own coordinates") {
  for (const std::uint64_t visits : probe::coordinates()) REQUIRE(visits == 1);
  std::vector<int> order = probe::running_order(1000);
  std::sort(order.begin(), order.end());
  for (int i = 0; i < 1000; ++i) REQUIRE(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("emulator: threads run in an order that the seed alone decides") {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    set_seed(seed);
    const std::vector<int> first = probe::running_order(64);
    set_seed(seed);
    CHECK(probe::running_order(64) == first);
    orders.insert(first);
  }
  CHECK(orders.size() == 20);
}

TEST_CASE("emulator: barriers make a tree sum right in any order") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    set_seed(seed);
    for (const int threads : {1, 2, 32, 64, 1024}) CHECK(probe::tree_sum(threads) == threads * (threads + 1) / 2);
  }
}

TEST_CASE("emulator: shared memory is garbage at the start of each block") {
  const std::vector<std::uint32_t> found = probe::fresh_shared_memory(3);
  for (const std::uint32_t word : found) CHECK(word == 0xFFFFFFFFU);
}

TEST_CASE("emulator: shuffles give what the CUDA programming guide says") {
  for (const int width : {32, 16, 8, 2, 1}) {
    for (int argument = 0; argument < 32; ++argument) {
      CAPTURE(width);
      CAPTURE(argument);
      const std::vector<int> index = probe::shuffled('i', 32, argument, width),
                             up = probe::shuffled('u', 32, argument, width),
                             down = probe::shuffled('d', 32, argument, width),
                             across = probe::shuffled('x', 32, argument, width);
      for (int own = 0; own < 32; ++own) {
        const int place = own % width, first = own - place;
        const auto i = static_cast<std::size_t>(own);
        REQUIRE(index[i] == first + argument % width);
        REQUIRE(up[i] == (place - argument >= 0 ? own - argument : own));
        REQUIRE(down[i] == (place + argument < width ? own + argument : own));
        REQUIRE(across[i] == ((own ^ argument) / width == own / width ? own ^ argument : own));
      }
    }
  }
  // A block that is no whole number of warps.
  const std::vector<int> odd = probe::shuffled('i', 20, 3, 8);
  for (int own = 0; own < 20; ++own) CHECK(odd[static_cast<std::size_t>(own)] == own / 8 * 8 + 3);
}

TEST_CASE("emulator: votes count the lanes of the mask") {
  const std::vector<std::uint32_t> found = probe::votes(32, 0x0000FF0FU);
  std::uint32_t expected = 0;
  for (unsigned lane = 0; lane < 32; lane += 3) expected |= 0x0000FF0FU & (1U << lane);
  for (unsigned lane = 0; lane < 32; ++lane) CHECK(found[lane] == ((0x0000FF0FU >> lane & 1U) != 0 ? expected : 0));
}

TEST_CASE("emulator: atomics") { CHECK(probe::atomics(77) == 154); }

TEST_CASE("emulator: a barrier that some threads never reach is reported with both counts and the line") {
  const std::string text = error_of([] { probe::divergent_barrier(64, 24); });
  CAPTURE(text);
  CHECK(has(text, "divergent_kernel, block (0, 0, 0): barrier divergence: 40 threads wait at probe_kernels.cpp:"));
  CHECK(has(text, ", 24 have returned"));
  CHECK(error_of([] { probe::divergent_barrier(64, 64); }) == "no error");
  const std::string different = error_of([] { probe::different_barriers(); });
  CAPTURE(different);
  CHECK(has(different, "threads wait at different barriers: 32 at probe_kernels.cpp:"));
}

TEST_CASE("emulator: shuffles that do not fit are reported") {
  CHECK(has(error_of([] { probe::shuffle_with_absent_lane(); }), "waits for lane 3, which has returned"));
  CHECK(has(error_of([] { probe::shuffle_without_itself(); }), "a mask that leaves itself out"));
  CHECK(has(error_of([] { probe::shuffle_and_barrier(); }), "waits for threads of its warp that wait elsewhere"));
  CHECK(has(error_of([] { probe::shuffle_from_lane_left_out(); }), "reads from lane 20, which its mask leaves out"));
  CHECK(has(error_of([] { probe::shuffled('i', 32, 0, 12); }), "no power of two"));
}

TEST_CASE("emulator: launches beyond the hardware are refused") {
  CHECK(error_of([] { probe::launch_of(1024, 1, 48 << 10); }) == "no error");
  CHECK(error_of([] { probe::launch_of(1, 65535, 0); }) == "no error");
  CHECK(has(error_of([] { probe::launch_of(1025, 1, 0); }), "1025 threads a block"));
  CHECK(has(error_of([] { probe::launch_of(0, 1, 0); }), "0 threads a block"));
  CHECK(has(error_of([] { probe::launch_of(1, 65536, 0); }), "a grid of 1 x 65536 x 1"));
  CHECK(has(error_of([] { probe::launch_of(1, 0, 0); }), "a grid of 1 x 0 x 1"));
  CHECK(has(error_of([] { probe::launch_of(1, 1, (48 << 10) + 1); }), "dynamic shared memory"));
  CHECK(has(error_of([] { probe::nested_launch(); }), "launched from within a kernel"));
}

TEST_CASE("emulator: an exception in one thread ends the launch, and the next one is sound") {
  CHECK(error_of([] { probe::throwing_kernel(); }) == "thrown by a thread");
  CHECK(probe::tree_sum(64) == 64 * 65 / 2);
}
#endif
