#include "model/graph.h"

#include <utility>

namespace convsweep {
namespace {

bool decays(const LayerShape& shape, const TensorShape& tensor) {
  return shape.op != Op::batch_norm && std::string_view(tensor.name).starts_with("weight");
}

bool recurrent(const LayerShape& shape) { return shape.op == Op::rnn || shape.op == Op::lstm; }

Tensor describe_tensor(const LayerShape& shape, const LayerSpec& spec, const TensorShape& t, const std::string& name) {
  Tensor tensor;
  tensor.layer = static_cast<int>(shape.layer);
  tensor.name = name + "." + op_name(shape.op) + "." + t.name;
  tensor.dims = t.dims;
  tensor.size = t.size();
  if (decays(shape, t)) {
    const std::int64_t window = std::int64_t{shape.kernel_rows} * shape.kernel_columns;
    tensor.fan_in = shape.in.channels / shape.groups * window;
    tensor.fan_out = shape.out.channels * window;
    // As PyTorch does: its weight's second extent.
    if (shape.op == Op::conv_transpose2d) tensor.fan_in = shape.out.channels / shape.groups * window;
    tensor.init = spec.init;
    // As PyTorch does: both weights by the number of hidden units.
    if (recurrent(shape)) tensor.fan_in = shape.out.channels;
    if (t.name == std::string("weight_hh")) tensor.draw = 1;
    // A character chooses one row.
    if (shape.op == Op::embedding) tensor.fan_in = 1;
  } else if (shape.op == Op::batch_norm && t.name == std::string("weight")) {
    tensor.fill = 1;
  }
  return tensor;
}

void add_tensors(Graph& graph, const LayerShape& shape, const LayerSpec& spec, const std::string& name) {
  for (const TensorShape& t : layer_parameters(shape)) graph.tensors.push_back(describe_tensor(shape, spec, t, name));
  if (!has_running_statistics(shape)) return;
  for (const char* which : {"running_mean", "running_var"}) {
    Tensor tensor = describe_tensor(shape, spec, TensorShape{which, {shape.in.channels}}, name);
    tensor.statistic = true;
    graph.tensors.push_back(tensor);
  }
}

// Weights that decay first, so that an update covers the whole run with one boundary in it.
void place_tensors(Graph& graph) {
  const auto place = [&graph](bool decayed) {
    for (Tensor& tensor : graph.tensors) {
      if (tensor.statistic || (tensor.fan_in >= 0) != decayed) continue;
      tensor.offset = graph.parameters;
      graph.parameters += tensor.size;
    }
  };
  place(true);
  graph.decayed = graph.parameters;
  place(false);
  for (Tensor& tensor : graph.tensors) {
    if (!tensor.statistic) continue;
    tensor.offset = graph.statistics;
    graph.statistics += tensor.size;
  }
  for (const Tensor& tensor : graph.tensors) {
    GraphLayer& layer = graph.layers[static_cast<std::size_t>(tensor.layer)];
    const std::string last = tensor.name.substr(tensor.name.rfind('.') + 1);
    // Of a recurrent layer the first of two that lie one behind the other.
    if (last == "weight_hh" || last == "bias_hh") continue;
    (last.starts_with("weight") ? layer.weight
     : last.starts_with("bias") ? layer.bias
     : last == "running_mean"   ? layer.running_mean
                                : layer.running_var) = tensor.offset;
  }
}

void check_data(const Recipe& recipe) {
  const DatasetSpec& d = recipe.dataset;
  if (recipe.batch_size > d.train_images - d.validation) {
    throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "batch_size",
                     "at most the " + std::to_string(d.train_images - d.validation) + " images trained on",
                     std::to_string(recipe.batch_size));
  }
  if (recipe.test_at_end && d.test_images == 0) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "test_at_end", "the data set has no test images");
  }
}

// Where a list of layers stands, for messages and in the names of tensors.
struct Where {
  std::string path, name;

  Where item(std::size_t i) const { return {path + "[" + std::to_string(i) + "]", name + std::to_string(i)}; }
  Where part(Op op, std::size_t i) const {
    const std::string part = op == Op::residual ? (i == 0 ? "body" : "shortcut") : std::to_string(i);
    return {path + "." + part_path(op, i), name + "." + op_name(op) + "." + part + "."};
  }
};

class Builder {
 public:
  Builder(const Recipe& recipe, Graph& graph) : batch_(recipe.batch_size), graph_(graph) {}

  // Appends the layers, the first of which reads `value`; the value that the last one writes.
  int list(const std::vector<LayerSpec>& layers, int value, const Where& where) {
    for (std::size_t i = 0; i < layers.size(); ++i) {
      const Where here = where.item(i);
      value = layers[i].parts.empty() ? layer(layers[i], value, here) : join(layers[i], value, here);
    }
    return value;
  }

  // Floats of all values but the image.
  std::int64_t written() const { return written_; }

 private:
  int layer(const LayerSpec& spec, int value, const Where& where) {
    const Extent in = extent(value);
    const int index = static_cast<int>(graph_.layers.size());
    const LayerShape shape = infer_layer(spec, in, index, where.path);
    if (shape.op == Op::batch_norm && batch_ * in.plane() < 2) {
      throw unexpected(ErrorCode::ENGINE_BAD_RECIPE, "batch_size",
                       "at least 2 for batch_norm of a flat input at " + where.path, "1");
    }
    graph_.layers.push_back(GraphLayer{shape});
    add_tensors(graph_, shape, spec, where.name);
    return node(Node{spec.op, index, {value}, 0}, shape.out);
  }

  int join(const LayerSpec& spec, int value, const Where& where) {
    Node join{spec.op, -1, {}, 0};
    std::vector<Extent> extents;
    for (std::size_t i = 0; i < spec.parts.size(); ++i) {
      join.inputs.push_back(list(spec.parts[i], value, where.part(spec.op, i)));
      extents.push_back(extent(join.inputs.back()));
    }
    return node(std::move(join), infer_join(spec.op, extents, where.path));
  }

  int node(Node node, const Extent& out) {
    node.output = static_cast<int>(graph_.values.size());
    graph_.values.push_back(out);
    graph_.nodes.push_back(std::move(node));
    written_ += out.size();
    return graph_.nodes.back().output;
  }

  Extent extent(int value) const { return graph_.values[static_cast<std::size_t>(value)]; }

  int batch_;
  Graph& graph_;
  std::int64_t written_ = 0;
};

// The layers from `input` to `output`, which is called `what` in messages.
Graph build_layers(const Recipe& recipe, const std::vector<LayerSpec>& layers, const Extent& input, const Extent& output,
                   const std::string& what, const Where& where) {
  Graph graph;
  graph.image = input;
  graph.values.push_back(input);
  Builder builder(recipe, graph);
  const Extent out = graph.values[static_cast<std::size_t>(builder.list(layers, 0, where))];
  graph.classes = out.channels;
  graph.positions = static_cast<int>(output.plane());
  if (!(out == output)) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, where.path,
                "expected the last layer to yield " + what + ", found " + describe(out));
  }
  if (graph.tensors.empty()) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, where.path, "expected a layer with parameters, found none");
  }
  if (builder.written() * recipe.batch_size > (std::int64_t{1} << 38)) {
    throw Error(ErrorCode::ENGINE_BAD_RECIPE, "batch_size",
                "activations of a batch would take more than a terabyte; take a smaller batch");
  }
  place_tensors(graph);
  return graph;
}

}  // namespace

std::vector<Graph> build_graphs(const Recipe& recipe) {
  check_data(recipe);
  const DatasetSpec& data = recipe.dataset;
  const ProcedureSpec& procedure = recipe.procedure;
  std::vector<Graph> graphs;
  if (procedure.kind == ProcedureKind::classification) {
    const Extent output{data.classes, 1, data.positions()};
    const std::string what = data.positions() == 1 ? std::to_string(data.classes) + " values, one a class"
                                                   : describe(output) + ", a value for each character at each step";
    graphs.push_back(build_layers(recipe, recipe.layers, data.shape, output, what, Where{"network.layers", ""}));
    return graphs;
  }
  const int classes = procedure.conditional ? data.classes : 0;
  const Extent latent{procedure.latent + classes, 1, 1};
  Extent shown = data.shape;
  shown.channels += classes;
  graphs.push_back(build_layers(recipe, recipe.layers, latent, data.shape, "images of " + describe(data.shape),
                                Where{"network.layers", "generator."}));
  graphs.push_back(build_layers(recipe, procedure.discriminator, shown, Extent{1, 1, 1}, "1 value",
                                Where{"procedure.discriminator", "discriminator."}));
  return graphs;
}

}  // namespace convsweep
