// How a lane goes from batch to batch: train, validation, after the last epoch perhaps test, then a report.
#include <algorithm>
#include <cmath>

#include "convsweep/error.h"
#include "model/schedule.h"
#include "session/impl.h"

namespace convsweep {
namespace {

double get(const Hyperparameters& values, Hyper which) { return values[static_cast<std::size_t>(which)]; }

}  // namespace

Part Session::Impl::part(Phase phase) const {
  const DatasetSpec& data = config.recipe.dataset;
  const auto trained = static_cast<std::uint32_t>(data.train_images - data.validation);
  switch (phase) {
    case Phase::train:
      return {0, trained};
    case Phase::validation:
      return {trained, static_cast<std::uint32_t>(data.validation)};
    case Phase::test:
      return {static_cast<std::uint32_t>(data.train_images), static_cast<std::uint32_t>(data.test_images)};
  }
  return {};
}

int Session::Impl::batches(Phase phase) const {
  const auto size = static_cast<int>(part(phase).size);
  const int batch = config.recipe.batch_size;
  return phase == Phase::train ? size / batch : size / batch + (size % batch != 0 ? 1 : 0);
}

void Session::Impl::set_scalars(int lane, const LaneScalars& scalars) const {
  config.backend->copy_in(memory_.scalars + lane, &scalars, sizeof scalars);
}

LaneMetrics Session::Impl::metrics_of(int lane) const {
  LaneMetrics metrics;
  config.backend->copy_out(&metrics, memory_.metrics + lane, sizeof metrics);
  return metrics;
}

bool Session::Impl::finite(int lane, ExecutionContext& context) const {
  step_->check_finite(context, LaneSet{lane, 1, nullptr});
  std::int32_t result = 0;
  config.backend->copy_out(&result, memory_.finite + lane, sizeof result);
  return result != 0;
}

void Session::Impl::train_batch(Slot& slot, int lane, ExecutionContext& context) {
  LaneState& s = slot.state;
  const int batch = config.recipe.batch_size;
  const double factor = schedule_factor(config.recipe.schedule, s.hyperparameters, config.recipe.epochs,
                                        static_cast<int>(s.epoch), static_cast<int>(s.batch), batches(Phase::train));
  s.last_learning_rate = get(s.hyperparameters, Hyper::learning_rate) * factor;
  LaneScalars scalars;
  scalars.key = s.seed;
  scalars.step = s.step;
  scalars.epoch = s.epoch;
  scalars.position = s.batch * static_cast<std::uint32_t>(batch);
  scalars.dropout = static_cast<float>(get(s.hyperparameters, Hyper::dropout));
  scalars.label_smoothing = static_cast<float>(get(s.hyperparameters, Hyper::label_smoothing));
  scalars.augment = augment_scalars(config.recipe.augmentation, s.hyperparameters);
  scalars.update = update_scalars(s.hyperparameters, config.recipe.decoupled_decay, s.last_learning_rate, s.step);
  set_scalars(lane, scalars);
  step_->train(context, LaneSet{lane, 1, nullptr}, part(Phase::train));
  const LaneMetrics metrics = metrics_of(lane);
  const int labels = batch * graph.positions;
  s.last_loss = metrics.loss_sum / labels;
  ++s.step;
  ++s.batch;
  slot.epoch_images += batch;
  if (!std::isfinite(metrics.loss_sum)) {
    s.status = LaneStatus::diverged_loss;
    return;
  }
  s.train.loss_sum += metrics.loss_sum;
  s.train.correct += metrics.correct;
  s.train.labels += labels;
  if (static_cast<int>(s.batch) == batches(Phase::train) && !finite(lane, context)) {
    s.status = LaneStatus::diverged_weights;
  }
}

void Session::Impl::evaluate_batch(Slot& slot, int lane, ExecutionContext& context) {
  LaneState& s = slot.state;
  const Part whole = part(s.phase);
  LaneScalars scalars;
  scalars.position = s.batch * static_cast<std::uint32_t>(config.recipe.batch_size);
  const int n =
      static_cast<int>(std::min(whole.size - scalars.position, static_cast<std::uint32_t>(config.recipe.batch_size)));
  set_scalars(lane, scalars);
  step_->evaluate(context, LaneSet{lane, 1, nullptr}, whole, n);
  const LaneMetrics metrics = metrics_of(lane);
  Tally& tally = s.phase == Phase::validation ? s.validation : s.test;
  tally.loss_sum += metrics.loss_sum;
  tally.correct += metrics.correct;
  tally.labels += n * graph.positions;
  ++s.batch;
}

std::optional<LaneReport> Session::Impl::end_epoch(Slot& slot, int lane) {
  LaneState& s = slot.state;
  ++s.epoch;
  const bool last = static_cast<int>(s.epoch) == config.recipe.epochs;
  LaneReport report;
  report.lane = lane;
  report.epoch = s.epoch;
  report.step = s.step;
  report.train_loss = s.train.loss();
  report.train_accuracy = s.train.accuracy();
  report.val_loss = s.validation.loss();
  report.val_accuracy = s.validation.accuracy();
  report.learning_rate = s.last_learning_rate;
  if (s.test.labels > 0) {
    report.test_loss = s.test.loss();
    report.test_accuracy = s.test.accuracy();
  }
  report.finished = last;
  s.train = s.validation = s.test = Tally{};
  s.phase = Phase::train;
  s.batch = 0;
  if (last) s.status = LaneStatus::finished;
  return report;
}

std::optional<LaneReport> Session::Impl::advance(int lane, ExecutionContext& context) {
  Slot& slot = slots_[static_cast<std::size_t>(lane)];
  LaneState& s = slot.state;
  if (s.phase == Phase::train) {
    train_batch(slot, lane, context);
  } else {
    evaluate_batch(slot, lane, context);
  }
  if (s.status != LaneStatus::training) return std::nullopt;
  // Leave a phase as soon as its last batch is done, and pass over empty ones.
  while (static_cast<int>(s.batch) >= batches(s.phase)) {
    const bool last_epoch = static_cast<int>(s.epoch) + 1 == config.recipe.epochs;
    if (s.phase == Phase::train) {
      s.phase = Phase::validation;
    } else if (s.phase == Phase::validation && last_epoch && config.recipe.test_at_end) {
      s.phase = Phase::test;
    } else {
      return end_epoch(slot, lane);
    }
    s.batch = 0;
  }
  return std::nullopt;
}

}  // namespace convsweep
