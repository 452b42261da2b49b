// How a lane goes from batch to batch: train, where weights are averaged perhaps statistics, validation, after the last
// epoch perhaps test, then a report.
#include "session/impl.h"

namespace convsweep {

void Session::Impl::end_training_batch(Slot& slot, int lane, int round, ExecutionContext& context) {
  LaneState& s = slot.state;
  const bool finite = procedure_->tally(s, lane, round);
  ++s.step;
  ++s.batch;
  slot.epoch_images += config.recipe.batch_size;
  if (!finite) {
    s.status = LaneStatus::diverged_loss;
  } else if (static_cast<int>(s.batch) == batches(Phase::train) && !procedure_->finite(lane, context)) {
    s.status = LaneStatus::diverged_weights;
  }
}

LaneReport Session::Impl::end_epoch(Slot& slot, int lane, ExecutionContext& context) {
  LaneState& s = slot.state;
  ++s.epoch;
  LaneReport report;
  report.lane = lane;
  report.epoch = s.epoch;
  report.step = s.step;
  procedure_->report(s, lane, context, report);
  report.finished = static_cast<int>(s.epoch) == config.recipe.epochs;
  s.train = s.validation = s.test = Tally{};
  s.phase = Phase::train;
  s.batch = 0;
  if (report.finished) s.status = LaneStatus::finished;
  return report;
}

std::optional<LaneReport> Session::Impl::advance(int lane, ExecutionContext& context) {
  LaneState& s = slots_[static_cast<std::size_t>(lane)].state;
  procedure_->prepare(s, lane, 0);
  procedure_->send(1);
  procedure_->run(s, LaneSet{lane, 1, nullptr}, procedure_->images(s), 0, context);
  procedure_->fetch(1);
  return end_batch(lane, 0, context);
}

std::optional<LaneReport> Session::Impl::end_batch(int lane, int round, ExecutionContext& context) {
  Slot& slot = slots_[static_cast<std::size_t>(lane)];
  LaneState& s = slot.state;
  if (s.phase == Phase::train) {
    end_training_batch(slot, lane, round, context);
  } else {
    procedure_->tally(s, lane, round);
    ++s.batch;
  }
  if (s.status != LaneStatus::training) return std::nullopt;
  // Leave a phase as soon as its last batch is done, and pass over empty ones.
  while (static_cast<int>(s.batch) >= batches(s.phase)) {
    const bool last_epoch = static_cast<int>(s.epoch) + 1 == config.recipe.epochs;
    if (s.phase == Phase::train && config.recipe.averaging && config.recipe.averaging->takes(s.epoch)) {
      average_weights(lane);
      s.phase = Phase::statistics;
    } else if (s.phase == Phase::train || s.phase == Phase::statistics) {
      s.phase = Phase::validation;
    } else if (s.phase == Phase::validation && last_epoch && config.recipe.test_at_end) {
      s.phase = Phase::test;
    } else {
      return end_epoch(slot, lane, context);
    }
    s.batch = 0;
  }
  return std::nullopt;
}

}  // namespace convsweep
