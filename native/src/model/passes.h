// The passes of a network as lists of actions over buffers that have a size and a lifetime, but no place yet.
//
// Guarantees: an action reads only what an earlier one wrote and nobody has overwritten since. Beyond that, as little
// memory as these rules allow:
//   * An elementwise layer works in place where ops.def allows it, when it is its input's only reader and no backward
//     needs what it overwrites. A sum takes the place of one of its terms under the same rule. Flatten and reshape are
//     views.
//   * Branches write straight into their channels of the joined value. A copy remains only where a value stands in two
//     joins or twice in one.
//   * The gradient of a sum's term and of a branch is a view of the join's gradient; it is overwritten in place only
//     when nobody else waits for it.
//   * The gradient of a value with several readers is summed in one order: of the readers, the last first.
//
// Not here: where buffers lie (src/model/plan.h), running the actions (src/session/step.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/graph.h"

namespace convsweep {

// A buffer, or a part of one that starts `skip` floats an image in. (Bytes would depend on the images in a batch.)
struct View {
  int buffer = -1;
  std::int64_t skip = 0;
  explicit operator bool() const { return buffer >= 0; }
  bool operator==(const View&) const = default;
};

// Alive from action `first` to action `last`, both included, in the numbering of Passes.
struct Buffer {
  std::size_t bytes = 0;
  int first = 0, last = 0;
};

struct LayerMemory {
  View x, y;
  // Nothing where the layer takes no part in the backward pass; dx also where nobody needs it.
  View dy, dx;
  View saved;
  // Neighbours that the layer's call does too, and what a relu behind it lets through; see model/fusion.h.
  Fusion fusion;
  View dcut;
};

// One call of a backend.
struct Action {
  enum class Kind { layer, add, copy } kind = Kind::layer;
  // layer: in Graph::layers and Passes::layers, where its memory stands.
  int layer = -1;
  // add: y = a + b; copy: y = a.
  View a, b, y;
  // add and copy: floats an image.
  std::int64_t count = 0;
};

// A training step is: gather (action 0), `forward`, the loss, `backward`, numbered one after another. Evaluation does
// the first part of it.
//
// Whoever fuses layers replaces actions here, before buffers are placed: then what only passed between them needs no
// memory.
struct Passes {
  std::vector<Buffer> buffers;
  std::vector<LayerMemory> layers;
  std::vector<Action> forward, backward;
  View input, logits, dlogits;
  // Where it was asked for: the gradient of value 0, and the layer that alone writes it, or -1.
  View input_gradient;
  int input_layer = -1;
};

// `input_gradient`: the backward pass goes on to the network's input.
Passes make_passes(const Graph& graph, int batch, bool input_gradient = false);

}  // namespace convsweep
