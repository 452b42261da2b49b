// How threads of a block meet: warp operations and barriers; and the words for those that do not.
#include <algorithm>
#include <cstdio>
#include <map>

#include "emulator/scheduler.h"

namespace convsweep::emulator {
namespace {

bool same_place(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && std::strcmp(a.file_name(), b.file_name()) == 0;
}

}  // namespace

std::string text(const uint3& v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

std::string text(const std::source_location& where) {
  const std::string file = where.file_name();
  const std::size_t slash = file.rfind('/');
  return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" + std::to_string(where.line());
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
  const bool whole = mask == (size == 32 ? 0xFFFFFFFFU : (1U << size) - 1U);
  for (unsigned lane = 0; lane < size; ++lane) {
    if ((mask >> lane & 1U) == 0) continue;
    warp[lane].state = State::ready;
    if (whole) ++warp[lane].warp_operations;
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
  ++barriers_;
}

// "race: thread (1, 0, 0) writes byte 4 of the shared memory at ..., which thread (40, 0, 0) read; no barrier between".
std::string Scheduler::told(const RaceDetector::Race& race, bool writes) const {
  const auto name = [this](const Moment& who) {
    const std::string thread = "thread " + text(fibers_[who.thread].thread);
    return who.block == block_ ? thread : thread + " of block " + text(index_of(who.block));
  };
  char address[32];
  std::snprintf(address, sizeof address, "%p", race.address);
  std::string place = std::string("address ") + address;
  const auto offset = [&](const void* memory) {
    const auto bytes = static_cast<const char*>(race.address) - static_cast<const char*>(memory);
    place = "byte " + std::to_string(bytes) + " of shared memory at " + address;
  };
  if (SharedBlock::within(race.address, shared_.get(), launch_->shared)) offset(shared_.get());
  for (const SharedBlock& block : static_) {
    if (block.holds(race.address)) offset(block.memory.get());
  }
  const Fiber& self = *current_;
  return std::string(launch_->kernel) + ", block " + text(blockIdx) + ": race: thread " + text(self.thread) +
         (writes ? " writes " : " reads ") + place + ", which " + name(race.other) +
         (race.other_wrote ? " wrote" : " read") + ", with no barrier between";
}

uint3 Scheduler::index_of(std::uint64_t block) const {
  const dim3& g = launch_->grid;
  return uint3{static_cast<unsigned>(block % g.x), static_cast<unsigned>(block / g.x % g.y),
               static_cast<unsigned>(block / g.x / g.y)};
}

}  // namespace convsweep::emulator
