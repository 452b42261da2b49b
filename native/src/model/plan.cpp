#include "model/plan.h"

#include <algorithm>
#include <numeric>

#include "model/fusion.h"

namespace convsweep {
namespace {

std::size_t round64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

class Arena {
 public:
  std::size_t take(std::size_t bytes) {
    const std::size_t at = used_;
    used_ += round64(bytes);
    return at;
  }
  std::size_t used() const { return used_; }

 private:
  std::size_t used_ = 0;
};

std::size_t floats(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

// Greedy, the largest first, each at the lowest place that is free for as long as it lives. Returns the bytes used.
std::size_t pack(const std::vector<Buffer>& buffers, std::vector<std::size_t>& offsets) {
  std::vector<std::size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  offsets.assign(buffers.size(), 0);
  std::size_t used = 0;
  // By offset.
  std::vector<std::size_t> placed;
  for (const std::size_t i : order) {
    const std::size_t bytes = round64(buffers[i].bytes);
    if (bytes == 0) continue;
    std::size_t at = 0;
    for (const std::size_t other : placed) {
      if (buffers[other].last < buffers[i].first || buffers[i].last < buffers[other].first) continue;
      if (offsets[other] >= at + bytes) break;
      at = std::max(at, offsets[other] + round64(buffers[other].bytes));
    }
    offsets[i] = at;
    used = std::max(used, at + bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), at,
                                   [&](std::size_t offset, std::size_t other) { return offset < offsets[other]; }),
                  i);
  }
  return used;
}

// Full batches and the short ones that end an evaluation; scratch need not grow with the batch.
std::size_t scratch_size(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width) {
  const int batch = recipe.batch_size;
  std::size_t most = gather_scratch_bytes(batch);
  for (const int n : {batch, recipe.dataset.validation % batch, recipe.dataset.test_images % batch,
                      picture_count(recipe) % batch}) {
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

Plan make_plan(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width, bool fuses,
               bool input_gradient) {
  Plan plan;
  plan.batch = recipe.batch_size;
  const Op optimizer = recipe.optimizer;
  Arena kept, work;
  plan.parameters = kept.take(floats(graph.parameters));
  if (update_state(optimizer) > 0) plan.state0 = kept.take(floats(graph.parameters));
  if (update_state(optimizer) > 1) plan.state1 = kept.take(floats(graph.parameters));
  plan.statistics = kept.take(floats(graph.statistics));
  if (recipe.averaging) {
    plan.average = kept.take(floats(graph.parameters));
    plan.average_statistics = kept.take(floats(graph.statistics));
  }
  plan.kept_bytes = kept.used();
  plan.gradients = work.take(floats(graph.parameters));
  plan.labels = work.take(static_cast<std::size_t>(plan.batch) * static_cast<std::size_t>(graph.positions) *
                          sizeof(std::int32_t));
  plan.passes = make_passes(graph, plan.batch, input_gradient);
  if (fuses) fuse_layers(plan.passes, graph);
  const std::size_t base = work.take(pack(plan.passes.buffers, plan.buffers));
  for (std::size_t& offset : plan.buffers) offset += base;
  plan.scratch = work.take(scratch_size(graph, ops, recipe, width));
  plan.work_bytes = work.used();
  return plan;
}

}  // namespace convsweep
