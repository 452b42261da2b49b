// Cuts the work of all lanes into slices. Decides order and threads only, never a result.
#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <utility>
#include <vector>

#include "session/impl.h"

namespace convsweep {
namespace {

// How long a thread stays with a lane: long against loading its weights into the cache, short against a slice.
constexpr std::chrono::milliseconds stay{5};

// How long a device may work before the host looks at what it did.
constexpr std::chrono::milliseconds look{40};

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

struct Session::Impl::Slice {
  SliceLimits limits;
  Clock::time_point start, deadline;
  std::mutex mutex;
  std::deque<int> waiting;
  std::vector<LaneProgress> progress;
  std::atomic<bool> interrupted{false}, over{false};

  // Whether the slice goes on; asked once a batch.
  bool goes_on(std::int32_t* control) {
    if (control != nullptr && std::atomic_ref<std::int32_t>(control[0]).load(std::memory_order_relaxed) != 0) {
      interrupted = true;
      over = true;
    }
    return !over;
  }
};

// What a finished batch means for the slice.
void Session::Impl::count_batch(Slice& slice, int lane, std::optional<LaneReport> report) {
  Slot& slot = slots_[static_cast<std::size_t>(lane)];
  LaneProgress& progress = slice.progress[static_cast<std::size_t>(lane)];
  ++progress.batches;
  if (config.control != nullptr) {
    std::atomic_ref<std::int32_t>(config.control[1]).fetch_add(1, std::memory_order_relaxed);
  }
  const Clock::time_point now = Clock::now();
  if (now >= slice.deadline) slice.over = true;
  if (!report) return;
  const double spent = slot.epoch_seconds + seconds(now - slice.start);
  report->images_per_second = spent > 0 ? static_cast<double>(slot.epoch_images) / spent : 0;
  slot.epoch_seconds = -seconds(now - slice.start);
  slot.epoch_images = 0;
  progress.reports.push_back(std::move(*report));
}

bool Session::Impl::goes_on(const Slice& slice, int lane) const {
  const auto at = static_cast<std::size_t>(lane);
  return slots_[at].state.status == LaneStatus::training &&
         (!slice.limits.max_batches || slice.progress[at].batches < *slice.limits.max_batches);
}

// Runs a lane for a while and puts it back into the queue if there is more to do in this slice.
void Session::Impl::quantum(Slice& slice, int lane, ExecutionContext& context) {
  const Clock::time_point leave = Clock::now() + stay;
  while (goes_on(slice, lane) && slice.goes_on(config.control)) {
    count_batch(slice, lane, advance(lane, context));
    if (Clock::now() >= leave) break;
  }
  if (!goes_on(slice, lane)) return;
  const std::lock_guard<std::mutex> lock(slice.mutex);
  slice.waiting.push_back(lane);
}

// Lanes in ascending order. Their numbers lie in device memory unless they follow one another.
LaneSet Session::Impl::lane_set(const std::vector<std::int32_t>& lanes) {
  const auto count = static_cast<int>(lanes.size());
  if (lanes.back() - lanes.front() == count - 1) return {lanes.front(), count, nullptr};
  auto* const ids = reinterpret_cast<std::int32_t*>(shared_.get() + shared_plan.ids);
  if (ids_ != lanes) {
    config.backend->copy_in(ids, lanes.data(), lanes.size() * sizeof(std::int32_t));
    ids_ = lanes;
  }
  return {0, count, ids};
}

int Session::Impl::rounds_for(const Slice& slice, const std::vector<std::int32_t>& lanes) const {
  int rounds = rounds_;
  for (const int lane : lanes) {
    const auto at = static_cast<std::size_t>(lane);
    rounds = std::min(rounds, procedure_->alike(slots_[at].state));
    if (slice.limits.max_batches) rounds = std::min(rounds, *slice.limits.max_batches - slice.progress[at].batches);
  }
  return rounds;
}

void Session::Impl::run_lanes_together(Slice& slice) {
  while (!slice.waiting.empty() && slice.goes_on(config.control)) {
    const LaneState first = slots_[static_cast<std::size_t>(slice.waiting.front())].state;
    const int n = procedure_->images(first);
    std::vector<std::int32_t> lanes;
    std::erase_if(slice.waiting, [&](int lane) {
      const LaneState& s = slots_[static_cast<std::size_t>(lane)].state;
      if (!procedure_->together(first, s)) return false;
      lanes.push_back(lane);
      return true;
    });
    std::sort(lanes.begin(), lanes.end());
    const Clock::time_point start = Clock::now();
    const int rounds = rounds_for(slice, lanes);
    // Of each round and lane.
    std::vector<double> rates;
    std::vector<LaneState> ahead;
    for (const int lane : lanes) ahead.push_back(slots_[static_cast<std::size_t>(lane)].state);
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < lanes.size(); ++i) {
        procedure_->prepare(ahead[i], lanes[i], round);
        rates.push_back(ahead[i].last_learning_rate);
        ++ahead[i].batch;
        if (first.phase == Phase::train) ++ahead[i].step;
      }
    }
    const LaneSet set = lane_set(lanes);
    procedure_->send(rounds);
    const auto run = [&](int round) {
      LaneState at = first;
      at.batch += static_cast<std::uint32_t>(round);
      procedure_->run(at, set, n, round, *together_);
    };
    if (const std::optional<int> calls = procedure_->calls(first)) {
      recordings_.run({*calls, n, set}, rounds, run);
    } else {
      for (int round = 0; round < rounds; ++round) run(round);
    }
    procedure_->fetch(rounds);
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < lanes.size(); ++i) {
        LaneState& s = slots_[static_cast<std::size_t>(lanes[i])].state;
        // Diverged in an earlier round.
        if (s.status != LaneStatus::training) continue;
        s.last_learning_rate = rates[static_cast<std::size_t>(round) * lanes.size() + i];
        count_batch(slice, lanes[i], end_batch(lanes[i], round, *together_));
      }
    }
    for (const int lane : lanes) {
      if (goes_on(slice, lane)) slice.waiting.push_back(lane);
    }
    const Clock::duration spent = Clock::now() - start;
    if (spent < look / 4) rounds_ = std::min(2 * rounds, shared_plan.rounds);
    if (spent > look) rounds_ = std::max(rounds / 2, 1);
  }
}

void Session::Impl::run_lanes_in_turn(Slice& slice) {
  while (!slice.waiting.empty() && slice.goes_on(config.control)) {
    const int lane = slice.waiting.front();
    slice.waiting.pop_front();
    quantum(slice, lane, *together_);
  }
}

void Session::Impl::run_lanes_apart(Slice& slice) {
  struct Work {
    Impl* self;
    Slice* slice;
  } work{this, &slice};
  const auto job = [](void* context, int, int slot) {
    const auto& [self, shared] = *static_cast<Work*>(context);
    while (shared->goes_on(self->config.control)) {
      int lane = 0;
      {
        const std::lock_guard<std::mutex> lock(shared->mutex);
        if (shared->waiting.empty()) return;
        lane = shared->waiting.front();
        shared->waiting.pop_front();
      }
      self->quantum(*shared, lane, *self->alone_[static_cast<std::size_t>(slot)]);
    }
  };
  pool_.run(pool_.width(), job, &work);
}

SliceResult Session::Impl::run(const SliceLimits& limits) {
  Slice slice;
  slice.limits = limits;
  slice.start = Clock::now();
  slice.deadline = slice.start + std::chrono::duration_cast<Clock::duration>(
                                     std::chrono::duration<double, std::milli>(limits.max_millis));
  slice.progress.resize(slots_.size());
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].taken && slots_[i].state.status == LaneStatus::training) slice.waiting.push_back(static_cast<int>(i));
  }
  if (!config.backend->is_host()) {
    run_lanes_together(slice);
  } else if (static_cast<int>(slice.waiting.size()) >= pool_.width()) {
    run_lanes_apart(slice);
  } else {
    run_lanes_in_turn(slice);
  }
  const double spent = seconds(Clock::now() - slice.start);

  SliceResult result;
  bool more = false;
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.taken) continue;
    const int lane = static_cast<int>(i);
    const LaneState& s = slot.state;
    for (const LaneReport& report : slice.progress[i].reports) result.reports.push_back(report);
    if (s.status >= LaneStatus::diverged_loss && !slot.divergence_told) {
      slot.divergence_told = true;
      result.diverged.push_back({lane, s.epoch, s.step, s.status == LaneStatus::diverged_weights});
    }
    result.positions.push_back({lane, s.epoch, s.step, s.last_loss});
    slot.epoch_seconds += spent;
    more = more || s.status == LaneStatus::training;
  }
  result.state = slice.interrupted ? SliceState::interrupted : more ? SliceState::more : SliceState::idle;
  return result;
}

}  // namespace convsweep
