#include "model/passes.h"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <utility>

namespace convsweep {
namespace {

class Scheduler {
 public:
  Scheduler(const Graph& graph, int batch, bool input_gradient);
  Passes run() &&;

 private:
  using Size = std::size_t;
  static Size at(int index) { return static_cast<Size>(index); }

  std::int64_t size(int value) const { return graph_.values[at(value)].size(); }
  const Node* producer(int value) const { return value == 0 ? nullptr : &graph_.nodes[at(value - 1)]; }
  const LayerShape& shape(const Node& node) const { return graph_.layers[at(node.layer)].shape; }
  static bool is_view(const Node& node) { return node.op == Op::flatten || node.op == Op::reshape; }

  View take(std::int64_t floats) { return take_bytes(static_cast<Size>(floats * batch_) * sizeof(float)); }
  View take_bytes(Size bytes);
  void touch(const View& view, int time);
  View whole(View view) const;

  bool overwritable(int value) const;
  void forward_layer(const Node& node);
  void forward_sum(const Node& node);
  void forward_row(const Node& node);
  bool embed(int value, const View& row, std::int64_t skip);

  bool shared(const View& view, std::int64_t count, int but) const;
  View sum_place(int value, const View& more, bool reusable);
  void contribute(int value, const View& gradient, bool reusable);
  void backward_node(const Node& node);
  void backward_layer(const Node& node, const View& dy);

  void push(std::vector<Action>& pass, Action action, std::initializer_list<View> touched);
  void settle();

  const Graph& graph_;
  const int batch_;
  Passes passes_;
  int time_ = 0;
  std::vector<int> readers_;
  // By value: where it lies, whether its gradient is wanted, and its gradient from its first reader's backward until its
  // producer's.
  std::vector<View> values_, gradients_;
  std::vector<bool> wanted_;
  // By buffer: the part of another that it is.
  std::vector<View> parents_;
};

Scheduler::Scheduler(const Graph& graph, int batch, bool input_gradient)
    : graph_(graph),
      batch_(batch),
      readers_(graph.values.size(), 0),
      values_(graph.values.size()),
      gradients_(graph.values.size()),
      wanted_(graph.values.size(), false) {
  wanted_[0] = input_gradient;
  for (const Node& node : graph.nodes) {
    bool wanted = node.layer >= 0 && !layer_parameters(shape(node)).empty();
    for (const int input : node.inputs) {
      ++readers_[at(input)];
      wanted = wanted || wanted_[at(input)];
    }
    wanted_[at(node.output)] = wanted;
  }
  passes_.layers.resize(graph.layers.size());
}

View Scheduler::take_bytes(Size bytes) {
  passes_.buffers.push_back({bytes, std::numeric_limits<int>::max(), -1});
  parents_.push_back({});
  return {static_cast<int>(passes_.buffers.size()) - 1, 0};
}

// The same memory as a part of the buffer that is not itself a part of another.
View Scheduler::whole(View view) const {
  while (view && parents_[at(view.buffer)]) {
    view.skip += parents_[at(view.buffer)].skip;
    view.buffer = parents_[at(view.buffer)].buffer;
  }
  return view;
}

void Scheduler::touch(const View& view, int time) {
  if (!view) return;
  Buffer& buffer = passes_.buffers[at(view.buffer)];
  buffer.first = std::min(buffer.first, time);
  buffer.last = std::max(buffer.last, time);
}

void Scheduler::push(std::vector<Action>& pass, Action action, std::initializer_list<View> touched) {
  ++time_;
  for (const View& view : touched) touch(view, time_);
  pass.push_back(action);
}

// Whether the one reader of a value may write over it.
bool Scheduler::overwritable(int value) const {
  if (readers_[at(value)] != 1) return false;
  const Node* node = producer(value);
  if (node == nullptr) return true;
  if (is_view(*node)) return overwritable(node->inputs[0]);
  if (node->op == Op::branches) {
    return std::all_of(node->inputs.begin(), node->inputs.end(), [this](int input) { return overwritable(input); });
  }
  return node->op == Op::residual || !layer_traits(node->op).backward_needs_y;
}

void Scheduler::forward_layer(const Node& node) {
  LayerMemory& memory = passes_.layers[at(node.layer)];
  const int input = node.inputs[0];
  const bool in_place = is_view(node) || (layer_traits(node.op).in_place && overwritable(input));
  memory.x = values_[at(input)];
  memory.y = in_place ? memory.x : take(size(node.output));
  values_[at(node.output)] = memory.y;
  const Size saved = saved_bytes(shape(node), batch_, sizeof(float));
  if (saved > 0) memory.saved = take_bytes(saved);
  push(passes_.forward, {Action::Kind::layer, node.layer, {}, {}, {}, 0}, {memory.x, memory.y, memory.saved});
}

void Scheduler::forward_sum(const Node& node) {
  const View a = values_[at(node.inputs[0])], b = values_[at(node.inputs[1])];
  const View y = overwritable(node.inputs[0])   ? a
                 : overwritable(node.inputs[1]) ? b
                                                : take(size(node.output));
  values_[at(node.output)] = y;
  push(passes_.forward, {Action::Kind::add, -1, a, b, y, size(node.output)}, {a, b, y});
}

// Makes a value's buffer a part of the row's, so that it is written there in the first place.
bool Scheduler::embed(int value, const View& row, std::int64_t skip) {
  const View& view = values_[at(value)];
  if (parents_[at(view.buffer)]) return false;
  parents_[at(view.buffer)] = {row.buffer, skip};
  return true;
}

void Scheduler::forward_row(const Node& node) {
  const View row = take(size(node.output));
  values_[at(node.output)] = row;
  std::int64_t skip = 0;
  for (const int input : node.inputs) {
    if (!embed(input, row, skip)) {
      const View part{row.buffer, skip}, from = values_[at(input)];
      push(passes_.forward, {Action::Kind::copy, -1, from, {}, part, size(input)}, {from, part});
    }
    skip += size(input);
  }
}

// Whether the gradient of another value than `but` waits in these floats.
bool Scheduler::shared(const View& view, std::int64_t count, int but) const {
  for (Size value = 0; value < gradients_.size(); ++value) {
    const View& other = gradients_[value];
    if (static_cast<int>(value) == but || other.buffer != view.buffer) continue;
    if (other.skip < view.skip + count && view.skip < other.skip + size(static_cast<int>(value))) return true;
  }
  return false;
}

View Scheduler::sum_place(int value, const View& more, bool reusable) {
  if (!shared(gradients_[at(value)], size(value), value)) return gradients_[at(value)];
  if (reusable && !shared(more, size(value), value)) return more;
  return take(size(value));
}

// One reader's part of the gradient of a value. `reusable`: its memory may be written over once it is added.
void Scheduler::contribute(int value, const View& gradient, bool reusable) {
  if (!wanted_[at(value)]) return;
  View& sum = gradients_[at(value)];
  if (!sum) {
    sum = gradient;
    return;
  }
  const View place = sum_place(value, gradient, reusable);
  push(passes_.backward, {Action::Kind::add, -1, sum, gradient, place, size(value)}, {sum, gradient, place});
  sum = place;
}

void Scheduler::backward_layer(const Node& node, const View& dy) {
  const int input = node.inputs[0];
  const LayerTraits traits = layer_traits(node.op);
  LayerMemory& memory = passes_.layers[at(node.layer)];
  memory.dy = dy;
  if (wanted_[at(input)]) {
    const bool in_place = is_view(node) || (traits.in_place && !shared(dy, size(node.output), node.output));
    memory.dx = in_place ? dy : take(size(input));
  }
  push(passes_.backward, {Action::Kind::layer, node.layer, {}, {}, {}, 0}, {memory.dy, memory.dx, memory.saved});
  if (traits.backward_needs_x) touch(memory.x, time_);
  if (traits.backward_needs_y) touch(memory.y, time_);
  contribute(input, memory.dx, !is_view(node));
}

void Scheduler::backward_node(const Node& node) {
  if (!wanted_[at(node.output)]) return;
  // All readers are done, so from here on nobody waits for it under this value's name.
  const View dy = gradients_[at(node.output)];
  gradients_[at(node.output)] = {};
  if (node.op == Op::residual) {
    contribute(node.inputs[0], dy, false);
    contribute(node.inputs[1], dy, true);
  } else if (node.op == Op::branches) {
    std::int64_t skip = dy.skip;
    for (const int input : node.inputs) {
      contribute(input, {dy.buffer, skip}, true);
      skip += size(input);
    }
  } else {
    backward_layer(node, dy);
  }
}

// Parts of buffers become views of the whole ones, which live as long as any part.
void Scheduler::settle() {
  for (Size i = 0; i < parents_.size(); ++i) {
    if (!parents_[i]) continue;
    Buffer& part = passes_.buffers[i];
    part.bytes = 0;
    // A row within a row is written and read by way of its parts alone.
    if (part.last < part.first) continue;
    const View root = whole(parents_[i]);
    touch(root, part.first);
    touch(root, part.last);
  }
  for (LayerMemory& m : passes_.layers) {
    for (View* view : {&m.x, &m.y, &m.dy, &m.dx, &m.saved}) *view = whole(*view);
  }
  for (std::vector<Action>* pass : {&passes_.forward, &passes_.backward}) {
    for (Action& action : *pass) {
      for (View* view : {&action.a, &action.b, &action.y}) *view = whole(*view);
    }
  }
  for (View* view : {&passes_.input, &passes_.logits, &passes_.dlogits, &passes_.input_gradient}) *view = whole(*view);
}

Passes Scheduler::run() && {
  passes_.input = values_[0] = take(size(0));
  touch(passes_.input, time_);
  for (const Node& node : graph_.nodes) {
    if (node.op == Op::residual) {
      forward_sum(node);
    } else if (node.op == Op::branches) {
      forward_row(node);
    } else {
      forward_layer(node);
    }
  }
  const int last = graph_.nodes.back().output;
  passes_.logits = values_[at(last)];
  passes_.dlogits = gradients_[at(last)] = take(size(last));
  ++time_;
  touch(passes_.logits, time_);
  touch(passes_.dlogits, time_);
  for (Size i = graph_.nodes.size(); i-- > 0;) backward_node(graph_.nodes[i]);
  if (wanted_[0]) {
    passes_.input_gradient = gradients_[0];
    touch(passes_.input_gradient, ++time_);
    if (readers_[0] == 1) passes_.input_layer = graph_.nodes[0].layer;
  }
  settle();
  return std::move(passes_);
}

}  // namespace

Passes make_passes(const Graph& graph, int batch, bool input_gradient) {
  return Scheduler(graph, batch, input_gradient).run();
}

}  // namespace convsweep
