#include "session/step.h"

namespace convsweep {

LayerCall Step::layer_call(int index, LaneSet lanes, int n, bool training) const {
  const GraphLayer& layer = graph_.layers[static_cast<std::size_t>(index)];
  const LayerMemory& m = plan_.passes.layers[static_cast<std::size_t>(index)];
  LayerCall call;
  call.shape = layer.shape;
  call.fusion = m.fusion;
  call.n = n;
  call.training = training;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.x = at<const float>(m.x, n);
  call.y = at<float>(m.y, n);
  call.saved = at<std::byte>(m.saved, n);
  call.scratch = working<std::byte>(plan_.scratch);
  const auto parameter = [this](std::size_t run, std::int64_t offset) {
    return offset < 0 ? Lanes<float>{} : kept<float>(run + static_cast<std::size_t>(offset) * sizeof(float));
  };
  const auto gradient = [this](std::int64_t offset) {
    return offset < 0 ? Lanes<float>{} : working<float>(plan_.gradients + static_cast<std::size_t>(offset) * sizeof(float));
  };
  call.weight = parameter(plan_.parameters, layer.weight);
  call.bias = parameter(plan_.parameters, layer.bias);
  call.dweight = gradient(layer.weight);
  call.dbias = gradient(layer.bias);
  call.running_mean = parameter(plan_.statistics, layer.running_mean);
  call.running_var = parameter(plan_.statistics, layer.running_var);
  return call;
}

void Step::gather(ExecutionContext& context, LaneSet lanes, Part part, int n, bool training) const {
  GatherCall call;
  call.image = recipe_.dataset.shape;
  call.n = n;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.images = memory_.images;
  call.labels = memory_.labels;
  call.positions = graph_.positions;
  call.scale = memory_.scale;
  call.shift = memory_.shift;
  call.size = part.size;
  call.first_image = part.first;
  call.shuffle = training && recipe_.shuffle;
  // A text stays as it is written.
  call.augment = training && !recipe_.dataset.text;
  call.x = at<float>(plan_.passes.input, n);
  call.out_labels = labels();
  call.scratch = working<std::byte>(plan_.scratch);
  ops_.gather(context, call);
}

void Step::join(ExecutionContext& context, const Action& action, LaneSet lanes, int n) const {
  JoinCall call;
  call.count = action.count * n;
  call.lanes = lanes;
  call.a = at<const float>(action.a, n);
  call.b = at<const float>(action.b, n);
  call.y = at<float>(action.y, n);
  (action.kind == Action::Kind::add ? ops_.add : ops_.copy)(context, call);
}

namespace {

// Its backward pass can leave the parameters' gradients out.
bool can_spare_parameters(Op op) { return op == Op::linear || op == Op::conv2d || op == Op::conv_transpose2d; }

}  // namespace

// `momentum`: in place of the batch norms' own.
void Step::forward_action(ExecutionContext& context, const Action& action, LaneSet lanes, int n, bool training,
                          std::optional<float> momentum) const {
  context.beat();
  if (action.kind != Action::Kind::layer) {
    join(context, action, lanes, n);
    return;
  }
  LayerCall call = layer_call(action.layer, lanes, n, training);
  if (momentum) call.shape.momentum = *momentum;
  ops_.layer(call.shape.op).forward(context, call);
}

void Step::backward_action(ExecutionContext& context, const Action& action, LaneSet lanes, Backward what) const {
  context.beat();
  if (action.kind != Action::Kind::layer) {
    join(context, action, lanes, plan_.batch);
    return;
  }
  LayerCall call = layer_call(action.layer, lanes, plan_.batch, true);
  const LayerMemory& m = plan_.passes.layers[static_cast<std::size_t>(action.layer)];
  call.dy = at<const float>(m.dy, plan_.batch);
  call.dx = at<float>(m.dx, plan_.batch);
  call.dcut = at<float>(m.dcut, plan_.batch);
  if (!what.input && action.layer == plan_.passes.input_layer) call.dx = {};
  if (!what.parameters && can_spare_parameters(call.shape.op)) call.dweight = call.dbias = {};
  ops_.layer(call.shape.op).backward(context, call);
}

void Step::draw_normal(ExecutionContext& context, LaneSet lanes, int count, int n, Purpose purpose,
                       std::uint32_t first) const {
  NormalCall call;
  call.count = count;
  call.n = n;
  call.purpose = purpose;
  call.first = first;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.x = input(n);
  ops_.draw_normal(context, call);
}

void Step::one_hot(ExecutionContext& context, LaneSet lanes, Lanes<const std::int32_t> labels, int classes,
                   int n) const {
  OneHotCall call;
  call.classes = classes;
  call.plane = graph_.image.plane();
  call.n = n;
  call.lanes = lanes;
  call.labels = labels;
  call.y = input(n);
  call.y.base += (graph_.image.channels - classes) * call.plane * n;
  ops_.one_hot(context, call);
}

void Step::forward(ExecutionContext& context, LaneSet lanes, int n, bool training) const {
  for (const Action& action : plan_.passes.forward) forward_action(context, action, lanes, n, training);
}

void Step::binary_loss(ExecutionContext& context, LaneSet lanes, int n, BinaryTarget target) const {
  LossCall call;
  call.n = n;
  call.classes = 1;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.logits = output(n);
  call.labels = labels();
  call.target = target;
  call.dlogits = output_gradient(n);
  call.metrics = memory_.metrics;
  ops_.binary_cross_entropy(context, call);
}

void Step::loss(ExecutionContext& context, LaneSet lanes, int n, bool training) const {
  LossCall call;
  // [classes][1][steps][n] is [classes][steps * n].
  call.n = n * graph_.positions;
  call.classes = graph_.classes;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.logits = at<const float>(plan_.passes.logits, n);
  call.labels = working<const std::int32_t>(plan_.labels);
  if (training) call.dlogits = at<float>(plan_.passes.dlogits, n);
  call.metrics = memory_.metrics;
  ops_.softmax_cross_entropy(context, call);
}

void Step::backward(ExecutionContext& context, LaneSet lanes, Backward what) const {
  for (const Action& action : plan_.passes.backward) backward_action(context, action, lanes, what);
}

void Step::add_gradients(ExecutionContext& context, LaneSet lanes, std::size_t from) const {
  JoinCall call;
  call.count = graph_.parameters;
  call.lanes = lanes;
  call.a = working<const float>(plan_.gradients);
  call.b = working<const float>(from);
  call.y = working<float>(plan_.gradients);
  ops_.add(context, call);
}

void Step::update(ExecutionContext& context, LaneSet lanes) const {
  UpdateCall call;
  call.count = graph_.parameters;
  call.decayed = graph_.decayed;
  call.nesterov = recipe_.nesterov;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.weight = kept<float>(plan_.parameters);
  call.gradient = working<const float>(plan_.gradients);
  call.state0 = kept<float>(plan_.state0);
  call.state1 = kept<float>(plan_.state1);
  ops_.update(recipe_.optimizer)(context, call);
}

void Step::train(ExecutionContext& context, LaneSet lanes, Part part) const {
  gather(context, lanes, part, plan_.batch, true);
  forward(context, lanes, plan_.batch, true);
  loss(context, lanes, plan_.batch, true);
  backward(context, lanes, {});
  update(context, lanes);
}

void Step::evaluate(ExecutionContext& context, LaneSet lanes, Part part, int n) const {
  gather(context, lanes, part, n, false);
  forward(context, lanes, n, false);
  loss(context, lanes, n, false);
}

void Step::measure_statistics(ExecutionContext& context, LaneSet lanes, Part part, std::uint32_t batch) const {
  gather(context, lanes, part, plan_.batch, true);
  const float momentum = 1.0F / (static_cast<float>(batch) + 1);
  for (const Action& action : plan_.passes.forward) {
    forward_action(context, action, lanes, plan_.batch, true, momentum);
  }
}

void Step::check_finite(ExecutionContext& context, LaneSet lanes) const {
  ops_.check_finite(context, lanes, kept<const float>(plan_.parameters), graph_.parameters, memory_.finite);
}

}  // namespace convsweep
