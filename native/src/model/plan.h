// Where everything of a network lies: what a lane keeps, and the workspace of a batch.
//
// Guarantees: no two things that are alive together overlap; every buffer starts at a multiple of 64 bytes. What is not
// needed for the whole of a step (activations, their gradients, what layers save) shares memory with what lives before
// or after it. Nothing in the workspace is needed once a batch has ended, so lanes that are never under way together
// can share one.
//
// A lane keeps the sum, each term rounded up to 64 bytes, of
//   4 P (1 + s)     P parameters, s values of the optimiser's state each (ops.def)
//   4 S             S running statistics
//   4 P, 4 S        again where weights are averaged
// and a workspace is the sum, rounded likewise, of
//   4 P             the parameters' gradients
//   4 B             the labels of a batch of B
//   A               the buffers of passes.h, packed: at least the most that is alive at one time; where nothing is
//                   shared it is B times the activations of an image and their gradients, 4 bytes each
//   W               the largest scratch of any operation
#pragma once

#include <cstddef>
#include <vector>

#include "convsweep/backend.h"
#include "model/graph.h"
#include "model/passes.h"

namespace convsweep {

inline constexpr std::size_t nowhere = static_cast<std::size_t>(-1);

struct Plan {
  int batch = 0;
  Passes passes;
  // Byte offsets in what a lane keeps.
  std::size_t parameters = 0, state0 = nowhere, state1 = nowhere, statistics = 0;
  // Of averaged weights; `nowhere` where the recipe averages none.
  std::size_t average = nowhere, average_statistics = nowhere;
  // Byte offsets in the workspace; of each of the passes' buffers, too.
  std::size_t gradients = 0, labels = 0, scratch = 0;
  std::vector<std::size_t> buffers;
  // Multiples of 64.
  std::size_t kept_bytes = 0, work_bytes = 0;
};

// `width`: how many threads may share one lane's operations. `fuses`: whether the backend does neighbouring layers in one
// call. `input_gradient`: as in passes.h.
Plan make_plan(const Graph& graph, const OpTable& ops, const Recipe& recipe, int width, bool fuses,
               bool input_gradient = false);

}  // namespace convsweep
