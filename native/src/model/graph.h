// A recipe's network with every shape worked out, and its parameters in one run.
//
// Guarantees: build_graphs either yields networks whose layers fit together, end in what the procedure needs (one value a
// class; of a generator an image, of a discriminator one value) and can be trained with the recipe's batch size and data
// set, or throws Error ENGINE_BAD_RECIPE naming the place.
//
// Nested lists (residual, branches) are flattened: layers stand in the order in which the recipe's text has them, a join
// follows what it joins, and who reads what is said by values.
//
// Parameters of a lane are one run of floats: first the weights of linear and conv2d layers, in layer order, which L2
// applies to; then biases and batch_norm's weight and bias. Running statistics are another run: [mean][var] a
// batch_norm layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "convsweep/recipe.h"
#include "ops/shape.h"

namespace convsweep {

struct Tensor {
  int layer = 0;
  // `0.conv2d.weight`, and within lists `4.residual.body.0.conv2d.weight`, `4.branches.1.0.conv2d.weight`
  std::string name;
  std::vector<int> dims;
  std::int64_t size = 0;
  // In the run of parameters, or of running statistics.
  std::int64_t offset = 0;
  bool statistic = false;
  // Negative: starts at zero; see initial_parameters.
  std::int64_t fan_in = -1, fan_out = -1;
  Init init = Init::torch_uniform;
  // Which of a layer's randomly drawn tensors this is.
  std::uint32_t draw = 0;
  float fill = 0;
};

struct GraphLayer {
  LayerShape shape;
  // Offsets in the run of parameters, -1 for none; in the run of statistics for batch_norm.
  std::int64_t weight = -1, bias = -1;
  std::int64_t running_mean = -1, running_var = -1;
};

// A step of the forward pass: a layer, or a join.
struct Node {
  Op op = Op::flatten;
  // In Graph::layers; -1 for a join.
  int layer = -1;
  // Values. A layer reads one; a residual sums two, its body's first; branches stand in a row along the channels.
  std::vector<int> inputs;
  int output = 0;
};

struct Graph {
  // What goes in: the image; of a generator the latent vector.
  Extent image;
  // Values that come out, one a class. Nothing reads it of a GAN.
  int classes = 0;
  // Labels of an image: of a text one a step.
  int positions = 1;
  std::vector<GraphLayer> layers;
  // Each value is written by one node, before any that reads it.
  std::vector<Node> nodes;
  // What nodes hand on: value 0 is the image, the last node's output the logits.
  std::vector<Extent> values;
  // By layer: weight, bias, running_mean, running_var. The order of Session::weights.
  std::vector<Tensor> tensors;
  std::int64_t parameters = 0, decayed = 0, statistics = 0;

  // How many floats `tensors` holds in all.
  std::int64_t weights_size() const { return parameters + statistics; }
};

// One of classification; of a GAN the generator and the discriminator.
std::vector<Graph> build_graphs(const Recipe& recipe);

// Parameters of a lane before its first step, drawn from its seed. `network`: which of the recipe's it is.
std::vector<float> initial_parameters(const Graph& graph, std::uint64_t seed, std::uint32_t network = 0);
// Running means 0, running variances 1.
std::vector<float> initial_statistics(const Graph& graph);

}  // namespace convsweep
