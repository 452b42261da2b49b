// The networks of a recipe and where everything of a lane and of a workspace lies: one network after another, each as
// plan.h lays it out.
#pragma once

#include <cstddef>
#include <vector>

#include "convsweep/backend.h"
#include "model/graph.h"
#include "model/plan.h"

namespace convsweep {

// Uses of a network in a step of a GAN (src/session/procedures/gan.cpp); of classification there is one.
inline constexpr int gan_passes = 4;
struct Network {
  Graph graph;
  Plan plan;
  // Byte offsets in what the lane keeps and in the workspace.
  std::size_t kept = 0, work = 0;
};

struct LanePlan {
  // The one that is trained; of a GAN the generator and the discriminator.
  std::vector<Network> networks;
  // The first network with averaged weights and their statistics; only where the recipe averages.
  Plan average;
  // How often LaneScalars, LaneMetrics and the rest that a pass leaves are there.
  int passes = 1;
  // In the workspace a second place for the last network's gradients; `nowhere` where nothing needs it.
  std::size_t spare_gradients = nowhere;
  std::size_t kept_bytes = 0, work_bytes = 0;

  std::int64_t parameters() const;
  std::int64_t statistics() const;
  std::int64_t weights_size() const { return parameters() + statistics(); }
};

// `width`, `fuses`: as in plan.h.
LanePlan plan_lane(const Recipe& recipe, const OpTable& ops, int width, bool fuses);

}  // namespace convsweep
