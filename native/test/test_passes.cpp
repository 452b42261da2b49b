// The passes and the plan of a network: what every action finds in memory, followed symbolically; gradients of whole
// nested networks against central differences, in double, in the very memory the plan lays out.
#include <functional>
#include <map>

#include "backend/reference/reference_backend.h"
#include "backend/registry.h"
#include "convsweep/rng.h"
#include "layer_text.h"
#include "model/plan.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// A workspace in which each float of the plan is a T.
template <class T>
class Memory {
 public:
  Memory(const Plan& plan, int n) : plan_(plan), n_(n), cells_(plan.work_bytes / sizeof(float)) {}
  T* at(View view) {
    if (!view) return nullptr;
    const std::size_t bytes = plan_.buffers[static_cast<std::size_t>(view.buffer)];
    return cells_.data() + bytes / sizeof(float) + static_cast<std::size_t>(view.skip * n_);
  }

 private:
  const Plan& plan_;
  const int n_;
  std::vector<T> cells_;
};

using Tags = std::vector<std::uint64_t>;

// A number that nothing else has.
Tags fresh(std::int64_t count) {
  static std::uint64_t next = 0;
  Tags tags(static_cast<std::size_t>(count));
  for (std::uint64_t& tag : tags) {
    const PhiloxBlock block = philox4x32_10({{static_cast<std::uint32_t>(++next), 0, 0, 7}}, 1, 2);
    tag = std::uint64_t{block.word[0]} << 32 | block.word[1];
  }
  return tags;
}

// Follows a step of training with labels for numbers. What values and gradients must be is worked out from the nodes alone;
// a gradient is the sum (modulo 2^64) of labels that its readers' backward passes made.
class Follower {
 public:
  Follower(const Graph& graph, const Plan& plan, int n)
      : graph_(graph), plan_(plan), n_(n), memory_(plan, n), values_(graph.values.size()), saved_(graph.layers.size()) {}

  void train() {
    values_[0] = fresh(size(0));
    write(plan_.passes.input, values_[0]);
    for (const Node& node : graph_.nodes) define(node);
    for (const Action& action : plan_.passes.forward) forward(action);
    const int last = graph_.nodes.back().output;
    check(plan_.passes.logits, values_[static_cast<std::size_t>(last)], "logits");
    gradients_[last] = fresh(size(last));
    write(plan_.passes.dlogits, gradients_[last]);
    for (const Action& action : plan_.passes.backward) backward(action);
    // Every layer with something to learn has learnt.
    for (const GraphLayer& layer : graph_.layers) {
      if (layer.weight >= 0) CHECK(done_[static_cast<int>(layer.shape.layer)] == 1);
    }
  }
  int copies = 0;

 private:
  std::int64_t size(int value) const { return graph_.values[static_cast<std::size_t>(value)].size() * n_; }
  const Node& node_of(int layer) const {
    for (const Node& node : graph_.nodes) {
      if (node.layer == layer) return node;
    }
    FAIL("no such layer");
    return graph_.nodes[0];
  }

  void define(const Node& node) {
    Tags& out = values_[static_cast<std::size_t>(node.output)];
    if (node.op == Op::branches) {
      for (const int input : node.inputs) {
        const Tags& part = values_[static_cast<std::size_t>(input)];
        out.insert(out.end(), part.begin(), part.end());
      }
    } else if (node.op == Op::flatten) {
      out = values_[static_cast<std::size_t>(node.inputs[0])];
    } else {
      out = fresh(size(node.output));
    }
  }

  void write(View view, const Tags& tags) { std::copy(tags.begin(), tags.end(), memory_.at(view)); }
  void check(View view, const Tags& tags, const std::string& what) {
    REQUIRE(view);
    CHECK_MESSAGE(std::equal(tags.begin(), tags.end(), memory_.at(view)), what << " is not there any more");
  }

  void forward(const Action& action) {
    if (action.kind == Action::Kind::copy) {
      ++copies;
      std::copy_n(memory_.at(action.a), action.count * n_, memory_.at(action.y));
      return;
    }
    if (action.kind == Action::Kind::add) {
      for (const Node& node : graph_.nodes) {
        // The sum whose terms these are: labels differ everywhere.
        if (node.op != Op::residual) continue;
        const Tags &a = values_[static_cast<std::size_t>(node.inputs[0])],
                   &b = values_[static_cast<std::size_t>(node.inputs[1])];
        if (summed_.contains(node.output) || a.size() != static_cast<std::size_t>(action.count * n_)) continue;
        if (!std::equal(a.begin(), a.end(), memory_.at(action.a))) continue;
        check(action.b, b, "a sum's second term");
        write(action.y, values_[static_cast<std::size_t>(node.output)]);
        summed_.insert({node.output, true});
        return;
      }
      FAIL("nothing to add here");
    }
    const Node& node = node_of(action.layer);
    const LayerMemory& m = plan_.passes.layers[static_cast<std::size_t>(action.layer)];
    check(m.x, values_[static_cast<std::size_t>(node.inputs[0])], "x");
    write(m.y, values_[static_cast<std::size_t>(node.output)]);
    if (m.saved) {
      Tags& saved = saved_[static_cast<std::size_t>(action.layer)];
      const std::size_t bytes =
          saved_bytes(graph_.layers[static_cast<std::size_t>(action.layer)].shape, n_, sizeof(float));
      saved = fresh(static_cast<std::int64_t>(bytes / sizeof(float)));
      write(m.saved, saved);
    }
  }

  // What the gradient of a value must be once all its readers are done.
  Tags gradient(int value) {
    if (const auto known = gradients_.find(value); known != gradients_.end()) return known->second;
    Tags sum(static_cast<std::size_t>(size(value)));
    for (const Node& node : graph_.nodes) {
      std::size_t skip = 0;
      for (const int input : node.inputs) {
        if (input == value) {
          const Tags part = node.layer >= 0 && node.op != Op::flatten ? made_[node.layer] : gradient(node.output);
          REQUIRE(part.size() >= skip + sum.size());
          for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += part[skip + i];
        }
        if (node.op == Op::branches) skip += static_cast<std::size_t>(size(input));
      }
    }
    return gradients_[value] = sum;
  }

  void backward(const Action& action) {
    if (action.kind == Action::Kind::add) {
      for (std::int64_t i = 0; i < action.count * n_; ++i) {
        memory_.at(action.y)[i] = memory_.at(action.a)[i] + memory_.at(action.b)[i];
      }
      return;
    }
    REQUIRE(action.kind == Action::Kind::layer);
    const Node& node = node_of(action.layer);
    const LayerMemory& m = plan_.passes.layers[static_cast<std::size_t>(action.layer)];
    const LayerTraits traits = layer_traits(node.op);
    check(m.dy, gradient(node.output), "dy");
    if (traits.backward_needs_x) check(m.x, values_[static_cast<std::size_t>(node.inputs[0])], "x in backward");
    if (traits.backward_needs_y) check(m.y, values_[static_cast<std::size_t>(node.output)], "y in backward");
    if (m.saved) check(m.saved, saved_[static_cast<std::size_t>(action.layer)], "saved");
    ++done_[action.layer];
    if (!m.dx) return;
    if (!traits.in_place) CHECK(m.dx != m.dy);
    if (node.op == Op::flatten) {
      CHECK(m.dx == m.dy);
    } else {
      write(m.dx, made_[action.layer] = fresh(size(node.inputs[0])));
    }
  }

  const Graph& graph_;
  const Plan& plan_;
  const int n_;
  Memory<std::uint64_t> memory_;
  std::vector<Tags> values_, saved_;
  std::map<int, Tags> gradients_, made_;
  std::map<int, int> done_;
  std::map<int, bool> summed_;
};

struct Planned {
  explicit Planned(const std::string& layers) {
    text.layers = layers;
    text.batch = 4;
    recipe = text.recipe();
    graph = build_graphs(recipe)[0];
    plan = make_plan(graph, make_backend("cpu", "auto")->ops(), recipe, 2, false);
  }
  RecipeText text;
  Recipe recipe;
  Graph graph;
  Plan plan;
};

// The network in double precision, in the memory of the plan.
class Doubles {
 public:
  Doubles(const Planned& planned, int n)
      : graph_(planned.graph),
        plan_(planned.plan),
        n_(n),
        memory_(plan_, n),
        parameters(static_cast<std::size_t>(graph_.parameters)),
        gradients(parameters.size()),
        statistics_(static_cast<std::size_t>(graph_.statistics), 1.0),
        labels_(static_cast<std::size_t>(n)),
        saved_(graph_.layers.size()) {
    const std::vector<float> start = initial_parameters(graph_, 11);
    for (std::size_t i = 0; i < start.size(); ++i) parameters[i] = static_cast<double>(start[i]) + 0.1 * value_at(3, i);
    for (std::size_t i = 0; i < labels_.size(); ++i) labels_[i] = static_cast<std::int32_t>(i % 4);
    for (std::size_t i = 0; i < saved_.size(); ++i) saved_[i].resize(saved_bytes(graph_.layers[i].shape, n, 8));
    scalars_.key = 5;
    scalars_.dropout = std::numeric_limits<float>::quiet_NaN();
  }

  double loss(bool with_gradient) {
    double* x = memory_.at(plan_.passes.input);
    for (std::int64_t i = 0; i < graph_.image.size() * n_; ++i) x[i] = value_at(8, static_cast<std::uint64_t>(i));
    for (const Action& action : plan_.passes.forward) run(action, false);
    LaneMetrics metrics;
    BasicLossCall<double> call;
    call.n = n_;
    call.classes = graph_.classes;
    call.scalars = &scalars_;
    call.logits = {memory_.at(plan_.passes.logits), 0};
    call.labels = {labels_.data(), 0};
    if (with_gradient) call.dlogits = {memory_.at(plan_.passes.dlogits), 0};
    call.metrics = &metrics;
    reference::softmax_cross_entropy(call);
    if (with_gradient) {
      for (const Action& action : plan_.passes.backward) run(action, true);
    }
    return metrics.loss_sum / n_;
  }

 private:
  void run(const Action& action, bool backward) {
    if (action.kind != Action::Kind::layer) {
      BasicJoinCall<double> call;
      call.count = action.count * n_;
      call.a = {memory_.at(action.a), 0};
      call.b = {memory_.at(action.b), 0};
      call.y = {memory_.at(action.y), 0};
      if (action.kind == Action::Kind::add) {
        reference::add(call);
      } else {
        reference::copy(call);
      }
      return;
    }
    const auto index = static_cast<std::size_t>(action.layer);
    const GraphLayer& layer = graph_.layers[index];
    const LayerMemory& m = plan_.passes.layers[index];
    BasicLayerCall<double> call;
    call.shape = layer.shape;
    call.n = n_;
    call.training = true;
    call.scalars = &scalars_;
    call.x = {memory_.at(m.x), 0};
    call.y = {memory_.at(m.y), 0};
    call.dy = {memory_.at(m.dy), 0};
    call.dx = {memory_.at(m.dx), 0};
    call.saved = {saved_[index].data(), 0};
    const auto in = [](std::vector<double>& run, std::int64_t offset) {
      return Lanes<double>{offset < 0 ? nullptr : run.data() + offset, 0};
    };
    call.weight = in(parameters, layer.weight);
    call.bias = in(parameters, layer.bias);
    call.dweight = in(gradients, layer.weight);
    call.dbias = in(gradients, layer.bias);
    call.running_mean = in(statistics_, layer.running_mean);
    call.running_var = in(statistics_, layer.running_var);
    if (backward) {
      reference::layer_backward(call);
    } else {
      reference::layer_forward(call);
    }
  }

  const Graph& graph_;
  const Plan& plan_;
  const int n_;
  Memory<double> memory_;

 public:
  std::vector<double> parameters, gradients;

 private:
  std::vector<double> statistics_;
  std::vector<std::int32_t> labels_;
  std::vector<std::vector<std::byte>> saved_;
  LaneScalars scalars_;
};

std::vector<NestedNetwork> all_networks() {
  std::vector<NestedNetwork> all = nested_networks();
  all.push_back({"plain", RecipeText{}.layers});
  return all;
}

}  // namespace

TEST_CASE("every action finds in memory what the network says it reads") {
  for (const NestedNetwork& network : all_networks()) {
    CAPTURE(network.name);
    const Planned planned(network.layers);
    for (const int n : {4, 3}) Follower(planned.graph, planned.plan, n).train();
  }
}

TEST_CASE("gradients of whole networks agree with central differences, in the plan's memory") {
  for (const NestedNetwork& network : all_networks()) {
    CAPTURE(network.name);
    const Planned planned(network.layers);
    Doubles run(planned, 4);
    run.loss(true);
    const std::vector<double> gradients = run.gradients;
    double most = 0;
    for (std::size_t i = 0; i < gradients.size(); i += 1 + gradients.size() / 120) {
      const double step = 1e-6, old = run.parameters[i];
      run.parameters[i] = old + step;
      const double above = run.loss(false);
      run.parameters[i] = old - step;
      const double below = run.loss(false);
      run.parameters[i] = old;
      const double expected = (above - below) / (2 * step);
      most = std::fmax(most, std::fabs(expected));
      CHECK_MESSAGE(std::fabs(gradients[i] - expected) <= 1e-7 + 1e-5 * std::fabs(expected),
                    "parameter " << i << ": backward says " << gradients[i] << ", differences say " << expected);
    }
    CHECK(most > 1e-3);
  }
}

TEST_CASE("branches write straight into their place, copies remain only where they must") {
  std::map<std::string, int> copies;
  for (const NestedNetwork& network : nested_networks()) {
    const Planned planned(network.layers);
    for (const Action& action : planned.plan.passes.forward) {
      copies[network.name] += action.kind == Action::Kind::copy ? 1 : 0;
    }
  }
  CHECK(copies["branches"] == 0);
  CHECK(copies["dense: the input among the branches"] == 0);
  CHECK(copies["on the image itself, before any parameter"] == 0);
  // The second of two equal branches, and a value that is in one join already.
  CHECK(copies["the same value twice, and in two joins"] == 2);
}

TEST_CASE("the bytes of a lane and of a workspace are what the formula in plan.h says") {
  const auto round64 = [](std::size_t bytes) { return (bytes + 63) / 64 * 64; };
  for (const NestedNetwork& network : all_networks()) {
    CAPTURE(network.name);
    const Planned planned(network.layers);
    const Plan& plan = planned.plan;
    const auto p = round64(4 * static_cast<std::size_t>(planned.graph.parameters));
    const auto s = round64(4 * static_cast<std::size_t>(planned.graph.statistics));
    // adam keeps two values a parameter.
    CHECK(plan.parameters == 0);
    CHECK(plan.state0 == p);
    CHECK(plan.state1 == 2 * p);
    CHECK(plan.statistics == 3 * p);
    CHECK(plan.kept_bytes == 3 * p + s);
    CHECK(plan.gradients == 0);
    CHECK(plan.labels == p);
    const std::size_t base = plan.labels + round64(4 * 4);
    std::size_t alive = 0, sum = 0;
    const int end = 2 + static_cast<int>(plan.passes.forward.size() + plan.passes.backward.size());
    for (const Buffer& buffer : plan.passes.buffers) {
      sum += round64(buffer.bytes);
      CHECK(buffer.last < end);
    }
    for (int time = 0; time < end; ++time) {
      std::size_t now = 0;
      for (const Buffer& b : plan.passes.buffers) now += b.first <= time && time <= b.last ? round64(b.bytes) : 0;
      alive = std::max(alive, now);
    }
    CHECK(plan.scratch - base >= alive);
    CHECK(plan.scratch - base <= alive + alive / 4);
    CHECK(plan.scratch - base < sum);
    for (const std::size_t offset : plan.buffers) CHECK(offset % 64 == 0);
    CHECK(plan.work_bytes > plan.scratch);
    CHECK(plan.work_bytes % 64 == 0);
  }
}
