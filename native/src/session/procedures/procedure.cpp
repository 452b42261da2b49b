#include "session/procedures/procedure.h"

#include "model/schedule.h"

namespace convsweep {
namespace {

double get(const Hyperparameters& values, Hyper which) { return values[static_cast<std::size_t>(which)]; }

}  // namespace

LaneScalars Procedure::training_scalars(LaneState& s) const {
  const double factor = schedule_factor(recipe_.schedule, s.hyperparameters, recipe_.epochs, static_cast<int>(s.epoch),
                                        static_cast<int>(s.batch), batches(Phase::train));
  s.last_learning_rate = get(s.hyperparameters, Hyper::learning_rate) * factor;
  LaneScalars scalars;
  scalars.key = s.seed;
  scalars.step = s.step;
  scalars.epoch = s.epoch;
  scalars.position = s.batch * static_cast<std::uint32_t>(recipe_.batch_size);
  scalars.dropout = static_cast<float>(get(s.hyperparameters, Hyper::dropout));
  scalars.label_smoothing = static_cast<float>(get(s.hyperparameters, Hyper::label_smoothing));
  scalars.augment = augment_scalars(recipe_.augmentation, s.hyperparameters);
  scalars.update = update_scalars(s.hyperparameters, recipe_.decoupled_decay, s.last_learning_rate, s.step);
  return scalars;
}

Part Procedure::part(Phase phase) const {
  const DatasetSpec& data = recipe_.dataset;
  const auto trained = static_cast<std::uint32_t>(data.train_images - data.validation);
  switch (phase) {
    case Phase::train:
    case Phase::statistics:
      return {0, trained};
    case Phase::validation:
      return {trained, static_cast<std::uint32_t>(data.validation)};
    case Phase::test:
      return {static_cast<std::uint32_t>(data.train_images), static_cast<std::uint32_t>(data.test_images)};
  }
  return {};
}

void Procedure::set_scalars(const DeviceMemory& memory, int lane, const LaneScalars& scalars) {
  LaneScalars* const to = memory.scalars + lane;
  (backend_.is_host() ? *to : scalars_[static_cast<std::size_t>(to - memory_.scalars)]) = scalars;
}

void Procedure::send(int rounds) {
  if (backend_.is_host()) return;
  backend_.copy_in(memory_.scalars, scalars_.data(),
                   static_cast<std::size_t>(rounds) * memory_.round_stride * sizeof(LaneScalars));
}

void Procedure::fetch(int rounds) {
  if (backend_.is_host()) return;
  backend_.copy_out(metrics_.data(), memory_.metrics,
                    static_cast<std::size_t>(rounds) * memory_.round_stride * sizeof(LaneMetrics));
}

LaneMetrics Procedure::metrics_of(const DeviceMemory& memory, int lane) const {
  const LaneMetrics* const from = memory.metrics + lane;
  return backend_.is_host() ? *from : metrics_[static_cast<std::size_t>(from - memory_.metrics)];
}

bool Procedure::finite_in(const DeviceMemory& memory, int lane) const {
  std::int32_t result = 0;
  backend_.copy_out(&result, memory.finite + lane, sizeof result);
  return result != 0;
}

std::unique_ptr<Procedure> make_procedure(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                          const DeviceMemory& memory) {
  switch (recipe.procedure.kind) {
    case ProcedureKind::gan:
      return make_gan(backend, recipe, plan, memory);
    case ProcedureKind::classification:
      break;
  }
  return make_classification(backend, recipe, plan, memory);
}

}  // namespace convsweep
