// How a lane learns from a batch and what is reported of an epoch: one implementation a kind of recipe.
//
// Guarantees: a procedure holds nothing of a lane; what a call does depends on the lane's state and tensors alone, and
// touches nobody else's, so different threads may run different lanes at once.
//
// Not here: the order of phases, slices (src/session/advance.cpp, slice.cpp).
#pragma once

#include <memory>

#include "convsweep/session.h"
#include "model/lane_plan.h"
#include "session/lane.h"
#include "session/step.h"

namespace convsweep {

class Procedure {
 public:
  Procedure(Backend& backend, const Recipe& recipe, const LanePlan& plan, const DeviceMemory& memory)
      : backend_(backend), recipe_(recipe), plan_(plan), memory_(memory) {}
  virtual ~Procedure() = default;
  Procedure(const Procedure&) = delete;
  Procedure& operator=(const Procedure&) = delete;

  // Batches of a phase; 0 where the procedure does not know it.
  virtual int batches(Phase phase) const = 0;
  // The batch at the lane's position: its tallies, last_loss and last_learning_rate are brought up to date, the position
  // is not. False when a loss was not finite; then nothing is tallied.
  virtual bool train(LaneState& state, int lane, ExecutionContext& context) = 0;
  virtual void evaluate(LaneState& state, int lane, ExecutionContext& context) = 0;
  // Whether all parameters are finite.
  virtual bool finite(int lane, ExecutionContext& context) = 0;
  // The metrics and pictures of the epoch that has ended.
  virtual void report(const LaneState& state, int lane, ExecutionContext& context, LaneReport& report) = 0;

 protected:
  // Numbers of the lane's next training batch.
  LaneScalars training_scalars(LaneState& state) const;
  Part part(Phase phase) const;
  void set_scalars(const DeviceMemory& memory, int lane, const LaneScalars& scalars) const;
  LaneMetrics metrics_of(const DeviceMemory& memory, int lane) const;
  bool finite_in(const DeviceMemory& memory, int lane) const;

  Backend& backend_;
  const Recipe& recipe_;
  const LanePlan& plan_;
  const DeviceMemory memory_;
};

std::unique_ptr<Procedure> make_procedure(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                          const DeviceMemory& memory);
std::unique_ptr<Procedure> make_classification(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                               const DeviceMemory& memory);
std::unique_ptr<Procedure> make_gan(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                    const DeviceMemory& memory);

}  // namespace convsweep
