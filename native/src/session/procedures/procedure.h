// How a lane learns from a batch and what is reported of an epoch: one implementation a kind of recipe.
//
// Guarantees: a procedure holds nothing of a lane; what a call does depends on the lane's state and tensors alone, and
// touches nobody else's, so different threads may run different lanes at once.
//
// Not here: the order of phases, slices (src/session/advance.cpp, slice.cpp).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "convsweep/session.h"
#include "model/lane_plan.h"
#include "session/lane.h"
#include "session/step.h"

namespace convsweep {

class Procedure {
 public:
  Procedure(Backend& backend, const Recipe& recipe, const LanePlan& plan, const DeviceMemory& memory)
      : backend_(backend), recipe_(recipe), plan_(plan), memory_(memory) {
    if (backend.is_host()) return;
    scalars_.resize(memory.round_stride * static_cast<std::size_t>(memory.rounds));
    metrics_.resize(scalars_.size());
  }
  virtual ~Procedure() = default;
  Procedure(const Procedure&) = delete;
  Procedure& operator=(const Procedure&) = delete;

  // Batches of a phase; 0 where the procedure does not know it.
  virtual int batches(Phase phase) const = 0;
  // Images of the batch at the lane's position.
  virtual int images(const LaneState& state) const = 0;
  // Batches from the lane's position on that have as many images, to the end of its phase.
  virtual int alike(const LaneState& state) const = 0;
  // Whether batches at two lanes' positions are of a kind, so that the same calls can do them.
  virtual bool together(const LaneState& a, const LaneState& b) const {
    return a.phase == b.phase && images(a) == images(b);
  }
  // Batches are done in three parts, so that lanes that go together share the second, and several
  // batches (rounds) go one way to the device and back. Between the parts: send() and fetch().
  // Puts the numbers of the batch at the lane's position into place; brings last_learning_rate up to date.
  virtual void prepare(LaneState& state, int lane, int round) = 0;
  // `at`: the state of one of the lanes.
  virtual void run(const LaneState& at, LaneSet lanes, int n, int round, ExecutionContext& context) const = 0;
  // A number for what run() calls: the same number, lanes, images and round, the same calls. Nothing where they depend on
  // more.
  virtual std::optional<int> calls(const LaneState& at) const = 0;
  // Brings the lane's tallies and last_loss up to date, not its position. False when a loss was not finite; then
  // nothing is tallied.
  virtual bool tally(LaneState& state, int lane, int round) const = 0;
  // The numbers of the first `rounds` rounds to the device, their metrics back. On the host both are there already.
  void send(int rounds);
  void fetch(int rounds);
  // Which images of the data set a phase looks at.
  Part part(Phase phase) const;
  // Whether all parameters are finite.
  virtual bool finite(int lane, ExecutionContext& context) = 0;
  // The metrics and pictures of the epoch that has ended.
  virtual void report(const LaneState& state, int lane, ExecutionContext& context, LaneReport& report) = 0;

 protected:
  // Numbers of the lane's next training batch.
  LaneScalars training_scalars(LaneState& state) const;
  void set_scalars(const DeviceMemory& memory, int lane, const LaneScalars& scalars);
  LaneMetrics metrics_of(const DeviceMemory& memory, int lane) const;
  bool finite_in(const DeviceMemory& memory, int lane) const;

  Backend& backend_;
  const Recipe& recipe_;
  const LanePlan& plan_;
  const DeviceMemory memory_;

 private:
  // Unless the device's memory is the host's: what lies at DeviceMemory::scalars and metrics.
  std::vector<LaneScalars> scalars_;
  std::vector<LaneMetrics> metrics_;
};

std::unique_ptr<Procedure> make_procedure(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                          const DeviceMemory& memory);
std::unique_ptr<Procedure> make_classification(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                               const DeviceMemory& memory);
std::unique_ptr<Procedure> make_gan(Backend& backend, const Recipe& recipe, const LanePlan& plan,
                                    const DeviceMemory& memory);

}  // namespace convsweep
