// One batch of a set of lanes, as calls of a backend's operations.
//
// Guarantees: touches only what the lanes it is given keep and one workspace, so different threads, each with a workspace
// of its own, may run different lanes at once.
// The numbers of the batch (LaneScalars) must be in place before; its metrics are there afterwards.
//
// Not here: which batch (src/session/advance.cpp).
#pragma once

#include <optional>

#include "convsweep/backend.h"
#include "convsweep/recipe.h"
#include "model/plan.h"

namespace convsweep {

// Pointers into the backend's memory.
struct DeviceMemory {
  // What lanes keep, and the workspace of the first.
  std::byte* lanes = nullptr;
  std::byte* work = nullptr;
  // From lane to lane, in bytes: of workspaces 0 where lanes share one.
  std::size_t lane_stride = 0, work_stride = 0;
  // From one thread's workspace to the next's.
  std::size_t slot_stride = 0;
  LaneScalars* scalars = nullptr;
  LaneMetrics* metrics = nullptr;
  std::int32_t* finite = nullptr;
  const std::uint8_t* images = nullptr;
  const std::uint8_t* labels = nullptr;
  const float* scale = nullptr;
  const float* shift = nullptr;
  // Entries from one pass's scalars, metrics and finite to the next's: all lanes. From one round's to the next's: all
  // passes.
  std::size_t pass_stride = 0, round_stride = 0;
  // Batches whose numbers and metrics there is room for.
  int rounds = 1;

  // As a network that begins at byte `kept_base` of a lane and `work_base` of a workspace sees it in a pass.
  DeviceMemory of(std::size_t kept_base, std::size_t work_base, std::size_t pass) const {
    DeviceMemory memory = *this;
    memory.lanes += kept_base;
    memory.work += work_base;
    memory.scalars += pass * pass_stride;
    memory.metrics += pass * pass_stride;
    memory.finite += pass * pass_stride;
    return memory;
  }
  // With the workspace of a context.
  DeviceMemory in(const ExecutionContext& context) const {
    DeviceMemory memory = *this;
    memory.work += static_cast<std::size_t>(context.slot) * slot_stride;
    return memory;
  }
  // The same with the numbers and metrics of a round.
  DeviceMemory in_round(int round) const {
    DeviceMemory memory = *this;
    memory.scalars += static_cast<std::size_t>(round) * round_stride;
    memory.metrics += static_cast<std::size_t>(round) * round_stride;
    return memory;
  }
};

// Images [first, first + size) of the data set, of which the batch is taken.
struct Part {
  std::uint32_t first = 0, size = 0;
};

// How far a backward pass goes.
struct Backward {
  // Gradients of the parameters; without them, layers where that saves work leave theirs out.
  bool parameters = true;
  // The gradient of the network's input, which the plan must know of.
  bool input = false;
};

// What a procedure does with one network. Reads and writes what the plan places: input, activations, gradients.
class Step {
 public:
  Step(const OpTable& ops, const Recipe& recipe, const Graph& graph, const Plan& plan, const DeviceMemory& memory)
      : ops_(ops), recipe_(recipe), graph_(graph), plan_(plan), memory_(memory) {}

  // Gather, forward, loss, backward, update.
  void train(ExecutionContext& context, LaneSet lanes, Part part) const;
  // Gather, forward, loss over n images.
  void evaluate(ExecutionContext& context, LaneSet lanes, Part part, int n) const;
  // Gather and forward of training batch `batch` of an epoch: running statistics become means over the batches so far.
  void measure_statistics(ExecutionContext& context, LaneSet lanes, Part part, std::uint32_t batch) const;
  // Whether the parameters are finite, into DeviceMemory::finite.
  void check_finite(ExecutionContext& context, LaneSet lanes) const;

  // Images and their labels into the input.
  void gather(ExecutionContext& context, LaneSet lanes, Part part, int n, bool training) const;
  // Normal deviates into the input's first `count` channels.
  void draw_normal(ExecutionContext& context, LaneSet lanes, int count, int n, Purpose purpose,
                   std::uint32_t first) const;
  // Labels into the input's last `classes` channels.
  void one_hot(ExecutionContext& context, LaneSet lanes, Lanes<const std::int32_t> labels, int classes, int n) const;
  void forward(ExecutionContext& context, LaneSet lanes, int n, bool training) const;
  // The losses, of a full batch, with the gradient of the output.
  void binary_loss(ExecutionContext& context, LaneSet lanes, int n, BinaryTarget target) const;
  void backward(ExecutionContext& context, LaneSet lanes, Backward what) const;
  // Adds the gradients that lie at byte `from` of the network's workspace.
  void add_gradients(ExecutionContext& context, LaneSet lanes, std::size_t from) const;
  void update(ExecutionContext& context, LaneSet lanes) const;

  // Of the workspace.
  Lanes<float> input(int n) const { return at<float>(plan_.passes.input, n); }
  Lanes<float> output(int n) const { return at<float>(plan_.passes.logits, n); }
  Lanes<float> output_gradient(int n) const { return at<float>(plan_.passes.dlogits, n); }
  Lanes<float> input_gradient(int n) const { return at<float>(plan_.passes.input_gradient, n); }
  Lanes<std::int32_t> labels() const { return working<std::int32_t>(plan_.labels); }

 private:
  template <class T>
  Lanes<T> kept(std::size_t offset) const {
    if (offset == nowhere) return {};
    return {reinterpret_cast<T*>(memory_.lanes + offset), static_cast<std::ptrdiff_t>(memory_.lane_stride / sizeof(T))};
  }
  template <class T>
  Lanes<T> working(std::size_t offset) const {
    return {reinterpret_cast<T*>(memory_.work + offset), static_cast<std::ptrdiff_t>(memory_.work_stride / sizeof(T))};
  }
  // Of a batch of n: parts of buffers lie the closer the fewer images there are.
  template <class T>
  Lanes<T> at(View view, int n) const {
    if (!view) return {};
    return working<T>(plan_.buffers[static_cast<std::size_t>(view.buffer)] +
                      static_cast<std::size_t>(view.skip * n) * sizeof(float));
  }
  void forward_action(ExecutionContext& context, const Action& action, LaneSet lanes, int n, bool training,
                      std::optional<float> momentum = {}) const;
  void backward_action(ExecutionContext& context, const Action& action, LaneSet lanes, Backward what) const;
  void join(ExecutionContext& context, const Action& action, LaneSet lanes, int n) const;
  LayerCall layer_call(int index, LaneSet lanes, int n, bool training) const;
  void loss(ExecutionContext& context, LaneSet lanes, int n, bool training) const;

  const OpTable& ops_;
  const Recipe& recipe_;
  const Graph& graph_;
  const Plan& plan_;
  DeviceMemory memory_;
};

}  // namespace convsweep
