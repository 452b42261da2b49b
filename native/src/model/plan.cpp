#include "model/plan.h"

#include <algorithm>

namespace convsweep {
namespace {

class Arena {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t at = used_;
    used_ += (bytes + 63) / 64 * 64;
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

void place_activations(Plan& plan, const Graph& graph, Arena& arena) {
  plan.input = arena.take(floats(graph.image.size() * plan.batch));
  std::size_t current = plan.input;
  // Whether the backward of the layer that wrote `current` will read it again.
  bool kept = false;
  for (const GraphLayer& layer : graph.layers) {
    const LayerTraits traits = layer_traits(layer.shape.op);
    LayerMemory memory;
    memory.x = current;
    const bool view = layer.shape.op == Op::flatten;
    if (!view && (!traits.in_place || kept)) current = arena.take(floats(layer.shape.out.size() * plan.batch));
    if (!view) kept = traits.backward_needs_y;
    memory.y = current;
    const std::size_t saved = saved_bytes(layer.shape, plan.batch, sizeof(float));
    if (saved > 0) memory.saved = arena.take(saved);
    plan.layers.push_back(memory);
  }
  plan.logits = current;
}

void place_gradients(Plan& plan, const Graph& graph, Arena& arena) {
  while (graph.layers[plan.first_backward].weight < 0 && graph.layers[plan.first_backward].bias < 0) {
    ++plan.first_backward;
  }
  std::int64_t largest = graph.classes;
  for (std::size_t i = plan.first_backward; i < graph.layers.size(); ++i) {
    largest = std::max(largest, graph.layers[i].shape.out.size());
  }
  std::size_t current = arena.take(floats(largest * plan.batch));
  std::size_t other = arena.take(floats(largest * plan.batch));
  plan.dlogits = current;
  for (std::size_t i = graph.layers.size(); i-- > plan.first_backward;) {
    LayerMemory& memory = plan.layers[i];
    memory.dy = current;
    if (i == plan.first_backward) break;
    if (!layer_traits(graph.layers[i].shape.op).in_place) std::swap(current, other);
    memory.dx = current;
  }
}

// Full batches and the short ones that end an evaluation; scratch need not grow with the batch.
std::size_t scratch_size(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width) {
  const int batch = recipe.batch_size;
  std::size_t most = gather_scratch_bytes(batch);
  for (const int n : {batch, recipe.dataset.validation % batch, recipe.dataset.test_images % batch}) {
    if (n == 0) continue;
    for (const GraphLayer& layer : graph.layers) {
      most = std::max(most, ops.layer(layer.shape.op).scratch_bytes(layer.shape, n, width));
      // One lane's operations may also run on a single thread.
      most = std::max(most, ops.layer(layer.shape.op).scratch_bytes(layer.shape, n, 1));
    }
  }
  return most;
}

}  // namespace

Plan make_plan(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width) {
  Plan plan;
  plan.batch = recipe.batch_size;
  const Op optimizer = recipe.optimizer;
  Arena arena;
  plan.parameters = arena.take(floats(graph.parameters));
  plan.gradients = arena.take(floats(graph.parameters));
  if (update_state(optimizer) > 0) plan.state0 = arena.take(floats(graph.parameters));
  if (update_state(optimizer) > 1) plan.state1 = arena.take(floats(graph.parameters));
  plan.statistics = arena.take(floats(graph.statistics));
  plan.labels = arena.take(static_cast<std::size_t>(plan.batch) * sizeof(std::int32_t));
  place_activations(plan, graph, arena);
  place_gradients(plan, graph, arena);
  plan.scratch = arena.take(scratch_size(graph, ops, recipe, width));
  plan.lane_bytes = arena.used();
  return plan;
}

}  // namespace convsweep
