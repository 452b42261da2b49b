// One batch of a set of lanes, as calls of a backend's operations.
//
// Guarantees: touches only the memory of the lanes it is given, so different threads may run different lanes at once.
// The numbers of the batch (LaneScalars) must be in place before; its metrics are there afterwards.
//
// Not here: which batch (src/session/advance.cpp).
#pragma once

#include "convsweep/backend.h"
#include "convsweep/recipe.h"
#include "model/plan.h"

namespace convsweep {

// Pointers into the backend's memory.
struct DeviceMemory {
  std::byte* lanes = nullptr;
  // From lane to lane, in bytes.
  std::size_t lane_stride = 0;
  LaneScalars* scalars = nullptr;
  LaneMetrics* metrics = nullptr;
  std::int32_t* finite = nullptr;
  const std::uint8_t* images = nullptr;
  const std::uint8_t* labels = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
};

// Images [first, first + size) of the data set, of which the batch is taken.
struct Part {
  std::uint32_t first = 0, size = 0;
};

class Step {
 public:
  Step(const OpTable& ops, const Recipe& recipe, const Graph& graph, const Plan& plan, const DeviceMemory& memory)
      : ops_(ops), recipe_(recipe), graph_(graph), plan_(plan), memory_(memory) {}

  // Gather, forward, loss, backward, update.
  void train(ExecutionContext& context, LaneSet lanes, Part part) const;
  // Gather, forward, loss over n images.
  void evaluate(ExecutionContext& context, LaneSet lanes, Part part, int n) const;
  // Forward over the one image in input(lane), nothing else; what it yields is in logits(lane).
  void forward_one(ExecutionContext& context, int lane) const;
  float* input(int lane) const;
  const float* logits(int lane) const;
  // Whether the parameters are finite, into DeviceMemory::finite.
  void check_finite(ExecutionContext& context, LaneSet lanes) const;

 private:
  template <class T>
  Lanes<T> at(std::size_t offset) const;
  template <class T>
  Lanes<T> at(View view, int n) const;
  void run(ExecutionContext& context, const Action& action, LaneSet lanes, int n, bool training, bool backward) const;
  void join(ExecutionContext& context, const Action& action, LaneSet lanes, int n) const;
  LayerCall layer_call(int index, LaneSet lanes, int n, bool training) const;
  void gather(ExecutionContext& context, LaneSet lanes, Part part, int n, bool training) const;
  void forward(ExecutionContext& context, LaneSet lanes, int n, bool training) const;
  void loss(ExecutionContext& context, LaneSet lanes, int n, bool training) const;
  void backward(ExecutionContext& context, LaneSet lanes) const;
  void update(ExecutionContext& context, LaneSet lanes) const;

  const OpTable& ops_;
  const Recipe& recipe_;
  const Graph& graph_;
  const Plan& plan_;
  DeviceMemory memory_;
};

}  // namespace convsweep
