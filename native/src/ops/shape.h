// Shapes of layers and joins: the one place where a layer's attributes meet its input.
//
// Guarantees: infer_layer either yields a LayerShape that every kernel may trust without looking again, or throws Error
// ENGINE_BAD_RECIPE naming the layer. The same rules and messages stand in native/networks/shapes.ts; a test compares
// them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "convsweep/ops.h"
#include "convsweep/recipe.h"

namespace convsweep {

// `index`: LayerShape::layer. `path`: the layer's place in the recipe, `network.layers[3]`, for messages.
LayerShape infer_layer(const LayerSpec& spec, const Extent& in, int index, const std::string& path);
// What a residual or branches yields from what its lists yield (a residual's body, then its shortcut).
Extent infer_join(Op op, const std::vector<Extent>& parts, const std::string& path);

// "20x12x12", or "800" when flat.
std::string describe(const Extent& extent);

// A tensor that belongs to a layer.
struct TensorShape {
  // `weight`, `bias`, `running_mean`, `running_var`.
  const char* name;
  std::vector<int> dims;
  std::int64_t size() const;
};

// What the layer trains, in order: weight, bias; of rnn and lstm weight_ih, weight_hh, bias_ih, bias_hh.
std::vector<TensorShape> layer_parameters(const LayerShape& shape);

// What the layer keeps without training it: batch_norm's running mean and variance, one value a channel each.
inline bool has_running_statistics(const LayerShape& shape) { return shape.op == Op::batch_norm; }

// Bytes a lane needs in LayerCall::saved when activations are Real.
std::size_t saved_bytes(const LayerShape& shape, int n, std::size_t real_bytes);

// Multiply-adds of a forward pass of one image.
std::int64_t multiply_adds(const LayerShape& shape);

// The traits of ops.def.
struct LayerTraits {
  bool backward_needs_x, backward_needs_y, in_place;
};
LayerTraits layer_traits(Op op);

// How many values an update keeps for each parameter.
int update_state(Op op);

}  // namespace convsweep
