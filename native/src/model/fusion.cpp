#include "model/fusion.h"

#include <algorithm>
#include <limits>

namespace convsweep {
namespace {

// Windows side by side without padding.
bool tiled(const LayerShape& s) {
  return s.stride_rows == s.kernel_rows && s.stride_columns == s.kernel_columns && s.pad_top == 0 && s.pad_left == 0 &&
         s.out.rows * s.kernel_rows <= s.in.rows && s.out.columns * s.kernel_columns <= s.in.columns;
}

bool takes_relu(Op op) { return op == Op::batch_norm || op == Op::conv2d || op == Op::linear; }

class Fuser {
 public:
  Fuser(Passes& passes, const Graph& graph)
      : passes_(passes), graph_(graph), readers_(graph.values.size(), 0), absorbed_(graph.layers.size(), false) {
    for (const Node& node : graph.nodes) {
      for (const int input : node.inputs) ++readers_[static_cast<std::size_t>(input)];
    }
  }

  void run() {
    for (std::size_t i = 1; i < graph_.nodes.size(); ++i) pool(i);
    for (std::size_t i = 1; i < graph_.nodes.size(); ++i) relu(i);
    const auto gone = [this](const Action& action) {
      return action.kind == Action::Kind::layer && absorbed_[static_cast<std::size_t>(action.layer)];
    };
    std::erase_if(passes_.forward, gone);
    std::erase_if(passes_.backward, gone);
    measure_lives();
  }

 private:
  const LayerShape& shape(std::size_t node) const {
    return graph_.layers[static_cast<std::size_t>(graph_.nodes[node].layer)].shape;
  }
  LayerMemory& memory(std::size_t node) { return passes_.layers[static_cast<std::size_t>(graph_.nodes[node].layer)]; }
  void absorb(std::size_t node) { absorbed_[static_cast<std::size_t>(graph_.nodes[node].layer)] = true; }
  // Whether node `i` alone reads what the node before it writes.
  bool follows(std::size_t i) const {
    const Node &node = graph_.nodes[i], &before = graph_.nodes[i - 1];
    return node.layer >= 0 && before.layer >= 0 && node.inputs[0] == before.output &&
           readers_[static_cast<std::size_t>(before.output)] == 1;
  }

  // relu or tanh, perhaps dropout, max pool: the pool's call.
  void pool(std::size_t i) {
    if (graph_.nodes[i].op != Op::max_pool2d || !tiled(shape(i)) || !follows(i)) return;
    std::size_t first = i - 1;
    const bool dropout = graph_.nodes[first].op == Op::dropout && first > 0 && follows(first);
    if (dropout) --first;
    const Op activation = graph_.nodes[first].op;
    if (activation != Op::relu && (activation != Op::tanh || dropout)) return;
    LayerMemory& pool = memory(i);
    pool.fusion.activation = activation;
    pool.fusion.dropout = dropout;
    if (dropout) {
      pool.fusion.rate = shape(i - 1).rate;
      pool.fusion.dropout_layer = shape(i - 1).layer;
    }
    pool.x = memory(first).x;
    pool.dx = memory(first).dx;
    for (std::size_t k = first; k < i; ++k) absorb(k);
  }

  // A relu that no pool has taken: the call of the layer before it.
  void relu(std::size_t i) {
    if (graph_.nodes[i].op != Op::relu || !follows(i) || !takes_relu(graph_.nodes[i - 1].op)) return;
    if (absorbed_[static_cast<std::size_t>(graph_.nodes[i].layer)]) return;
    LayerMemory& layer = memory(i - 1);
    layer.fusion.relu_behind = true;
    layer.y = memory(i).y;
    layer.dy = memory(i).dy;
    layer.dcut = memory(i).dx;
    absorb(i);
  }

  void touch(const View& view, int time) {
    if (!view) return;
    Buffer& buffer = passes_.buffers[static_cast<std::size_t>(view.buffer)];
    buffer.first = std::min(buffer.first, time);
    buffer.last = std::max(buffer.last, time);
  }

  void touch_layer(const Action& action, bool backward, int time) {
    const auto layer = static_cast<std::size_t>(action.layer);
    const LayerMemory& m = passes_.layers[layer];
    const LayerTraits traits = layer_traits(graph_.layers[layer].shape.op);
    const bool fused = m.fusion.pool() || m.fusion.relu_behind;
    if (!backward || traits.backward_needs_x) touch(m.x, time);
    if (!backward || traits.backward_needs_y || fused) touch(m.y, time);
    touch(m.saved, time);
    if (!backward) return;
    for (const View& view : {m.dy, m.dx, m.dcut}) touch(view, time);
  }

  // When each buffer is first and last touched, from the actions that are left; the numbering of Passes.
  void measure_lives() {
    for (Buffer& buffer : passes_.buffers) {
      buffer.first = std::numeric_limits<int>::max();
      buffer.last = -1;
    }
    int time = 0;
    touch(passes_.input, time);
    for (const bool backward : {false, true}) {
      for (const Action& action : backward ? passes_.backward : passes_.forward) {
        ++time;
        if (action.kind == Action::Kind::layer) {
          touch_layer(action, backward, time);
        } else {
          for (const View& view : {action.a, action.b, action.y}) touch(view, time);
        }
      }
      if (backward) continue;
      ++time;
      touch(passes_.logits, time);
      touch(passes_.dlogits, time);
    }
    for (Buffer& buffer : passes_.buffers) {
      if (buffer.last < 0) buffer.bytes = 0;
    }
  }

  Passes& passes_;
  const Graph& graph_;
  std::vector<int> readers_;
  std::vector<bool> absorbed_;
};

}  // namespace

void fuse_layers(Passes& passes, const Graph& graph) { Fuser(passes, graph).run(); }

}  // namespace convsweep
