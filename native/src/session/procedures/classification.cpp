// Images to labels: train on batches, measure the validation part each epoch and, when asked to, the test set at the
// end.
#include <algorithm>
#include <cmath>

#include "session/procedures/procedure.h"

namespace convsweep {
namespace {

// The epoch's own batches, whole ones only.
bool trains(Phase phase) { return phase == Phase::train || phase == Phase::statistics; }

class Classification final : public Procedure {
 public:
  Classification(Backend& backend, const Recipe& recipe, const LanePlan& plan, const DeviceMemory& memory)
      : Procedure(backend, recipe, plan, memory) {}

  int batches(Phase phase) const override {
    const auto size = static_cast<int>(part(phase).size);
    const int batch = recipe_.batch_size;
    if (phase == Phase::statistics && plan_.networks[0].graph.statistics == 0) return 0;
    return trains(phase) ? size / batch : size / batch + (size % batch != 0 ? 1 : 0);
  }

  int images(const LaneState& s) const override {
    return static_cast<int>(
        std::min(part(s.phase).size - first_image(s), static_cast<std::uint32_t>(recipe_.batch_size)));
  }

  int alike(const LaneState& s) const override {
    const auto left = static_cast<int>(part(s.phase).size - first_image(s));
    return std::max(1, left / recipe_.batch_size);
  }

  // Lanes that are measured agree in which weights are; the statistics' batches also in their weight in the mean.
  bool together(const LaneState& a, const LaneState& b) const override {
    if (!Procedure::together(a, b) || averages(a) != averages(b)) return false;
    return a.phase != Phase::statistics || a.batch == b.batch;
  }

  void prepare(LaneState& s, int lane, int round) override {
    if (trains(s.phase)) {
      LaneScalars scalars = training_scalars(s);
      if (s.phase == Phase::statistics) scalars.step += s.batch;
      set_scalars(memory_.in_round(round), lane, scalars);
      return;
    }
    LaneScalars scalars;
    scalars.position = first_image(s);
    set_scalars(memory_.in_round(round), lane, scalars);
  }

  void run(const LaneState& at, LaneSet lanes, int n, int round, ExecutionContext& context) const override {
    const bool average = at.phase != Phase::train && averages(at);
    const Step step = step_in(context, round, average ? plan_.average : plan_.networks[0].plan);
    if (at.phase == Phase::train) {
      step.train(context, lanes, part(at.phase));
    } else if (at.phase == Phase::statistics) {
      step.measure_statistics(context, lanes, part(at.phase), at.batch);
    } else {
      step.evaluate(context, lanes, part(at.phase), n);
    }
  }

  // Statistics: a batch's weight in the mean is an argument.
  std::optional<int> calls(const LaneState& at) const override {
    if (at.phase == Phase::statistics) return std::nullopt;
    return 2 * static_cast<int>(at.phase) + (averages(at) ? 1 : 0);
  }

  bool tally(LaneState& s, int lane, int round) const override {
    if (s.phase == Phase::statistics) return true;
    const LaneMetrics metrics = metrics_of(memory_.in_round(round), lane);
    const int labels = images(s) * positions();
    if (s.phase != Phase::train) {
      (s.phase == Phase::validation ? s.validation : s.test).add(metrics, labels);
      return true;
    }
    s.last_loss = metrics.loss_sum / labels;
    if (!std::isfinite(metrics.loss_sum)) return false;
    s.train.add(metrics, labels);
    return true;
  }

  bool finite(int lane, ExecutionContext& context) override {
    step_in(context, 0, plan_.networks[0].plan).check_finite(context, LaneSet{lane, 1, nullptr});
    return finite_in(memory_, lane);
  }

  void report(const LaneState& s, int, ExecutionContext&, LaneReport& report) override {
    report.metrics = {{"train_loss", s.train.loss()},
                      {"train_accuracy", s.train.accuracy()},
                      {"val_loss", s.validation.loss()},
                      {"val_accuracy", s.validation.accuracy()},
                      {"learning_rate", s.last_learning_rate}};
    if (s.test.labels == 0) return;
    report.metrics.push_back({"test_loss", s.test.loss()});
    report.metrics.push_back({"test_accuracy", s.test.accuracy()});
  }

 private:
  // Of the batch at the lane's position, within its part.
  std::uint32_t first_image(const LaneState& s) const {
    return s.batch * static_cast<std::uint32_t>(recipe_.batch_size);
  }
  // Labels of an image: of a text one a character.
  int positions() const { return plan_.networks[0].graph.positions; }

  // Whether the average is what is measured at this position.
  bool averages(const LaneState& s) const {
    return s.phase != Phase::train && recipe_.averaging && recipe_.averaging->taken(s.epoch + 1) > 0;
  }

  Step step_in(const ExecutionContext& context, int round, const Plan& plan) const {
    return {backend_.ops(), recipe_, plan_.networks[0].graph, plan, memory_.in(context).in_round(round)};
  }
};

}  // namespace

std::unique_ptr<Procedure> make_classification(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                               const DeviceMemory& memory) {
  return std::make_unique<Classification>(backend, recipe, plan, memory);
}

}  // namespace convsweep
