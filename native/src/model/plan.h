// Where everything of a lane lies within its slice of the session's memory.
//
// Guarantees: no two things that are alive together overlap; every offset is a multiple of 64 bytes. Elementwise layers
// work in place where ops.def allows it and no backward still needs what they would overwrite; gradients of activations
// share two buffers.
#pragma once

#include <cstddef>
#include <vector>

#include "convsweep/backend.h"
#include "model/graph.h"

namespace convsweep {

inline constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

struct LayerMemory {
  // Byte offsets of activations and their gradients. dx is `nowhere` where nobody needs it; both are where the layer
  // takes no part in the backward pass.
  std::size_t x = 0, y = 0;
  std::size_t dy = nowhere, dx = nowhere;
  std::size_t saved = nowhere;
};

struct Plan {
  int batch = 0;
  std::vector<LayerMemory> layers;
  // The first layer that the backward pass reaches.
  std::size_t first_backward = 0;
  std::size_t parameters = 0, gradients = 0, state0 = nowhere, state1 = nowhere, statistics = 0;
  std::size_t input = 0, labels = 0, logits = 0, dlogits = 0, scratch = 0;
  // A multiple of 64.
  std::size_t lane_bytes = 0;
};

// `width`: how many threads may share one lane's operations.
Plan make_plan(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width);

}  // namespace convsweep
