#include "model/lane_plan.h"

#include <utility>

namespace convsweep {

std::int64_t LanePlan::parameters() const {
  std::int64_t sum = 0;
  for (const Network& network : networks) sum += network.graph.parameters;
  return sum;
}

std::int64_t LanePlan::statistics() const {
  std::int64_t sum = 0;
  for (const Network& network : networks) sum += network.graph.statistics;
  return sum;
}

LanePlan plan_lane(const Recipe& recipe, const OpTable& ops, int width, bool fuses) {
  LanePlan lane;
  for (Graph& graph : build_graphs(recipe)) {
    // The discriminator says how its input should change: that is what the generator learns from.
    const bool input_gradient = !lane.networks.empty();
    // Of a GAN each layer by itself: a pass may leave out gradients that a fused call would need on the way.
    const bool alone = recipe.procedure.kind == ProcedureKind::gan;
    Plan plan = make_plan(graph, ops, recipe, width, fuses && !alone, input_gradient);
    const std::size_t kept = plan.kept_bytes, work = plan.work_bytes;
    lane.networks.push_back({std::move(graph), std::move(plan), lane.kept_bytes, lane.work_bytes});
    lane.kept_bytes += kept;
    lane.work_bytes += work;
  }
  lane.average = lane.networks[0].plan;
  lane.average.parameters = lane.average.average;
  lane.average.statistics = lane.average.average_statistics;
  if (recipe.procedure.kind == ProcedureKind::gan) {
    lane.passes = gan_passes;
    lane.spare_gradients = lane.work_bytes;
    const auto count = static_cast<std::size_t>(lane.networks.back().graph.parameters);
    lane.work_bytes += (count * sizeof(float) + 63) / 64 * 64;
  }
  return lane;
}

}  // namespace convsweep
