#include "session/step.h"

namespace convsweep {

template <class T>
Lanes<T> Step::at(std::size_t offset) const {
  if (offset == nowhere) return {};
  return {reinterpret_cast<T*>(memory_.lanes + offset), static_cast<std::ptrdiff_t>(memory_.lane_stride / sizeof(T))};
}

// Of a batch of n: parts of buffers lie the closer the fewer images there are.
template <class T>
Lanes<T> Step::at(View view, int n) const {
  if (!view) return {};
  return at<T>(plan_.buffers[static_cast<std::size_t>(view.buffer)] +
               static_cast<std::size_t>(view.skip * n) * sizeof(float));
}

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
  call.scratch = at<std::byte>(plan_.scratch);
  const auto parameter = [this](std::size_t run, std::int64_t offset) {
    return offset < 0 ? Lanes<float>{} : at<float>(run + static_cast<std::size_t>(offset) * sizeof(float));
  };
  call.weight = parameter(plan_.parameters, layer.weight);
  call.bias = parameter(plan_.parameters, layer.bias);
  call.dweight = parameter(plan_.gradients, layer.weight);
  call.dbias = parameter(plan_.gradients, layer.bias);
  call.running_mean = parameter(plan_.statistics, layer.running_mean);
  call.running_var = parameter(plan_.statistics, layer.running_var);
  return call;
}

void Step::gather(ExecutionContext& context, LaneSet lanes, Part part, int n, bool training) const {
  GatherCall call;
  call.image = graph_.image;
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
  call.out_labels = at<std::int32_t>(plan_.labels);
  call.scratch = at<std::byte>(plan_.scratch);
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

void Step::run(ExecutionContext& context, const Action& action, LaneSet lanes, int n, bool training,
               bool backward) const {
  if (action.kind != Action::Kind::layer) {
    join(context, action, lanes, n);
    return;
  }
  LayerCall call = layer_call(action.layer, lanes, n, training);
  const LayerKernels& kernels = ops_.layer(call.shape.op);
  if (!backward) {
    kernels.forward(context, call);
    return;
  }
  const LayerMemory& m = plan_.passes.layers[static_cast<std::size_t>(action.layer)];
  call.dy = at<const float>(m.dy, n);
  call.dx = at<float>(m.dx, n);
  call.dcut = at<float>(m.dcut, n);
  kernels.backward(context, call);
}

void Step::forward(ExecutionContext& context, LaneSet lanes, int n, bool training) const {
  for (const Action& action : plan_.passes.forward) run(context, action, lanes, n, training, false);
}

void Step::loss(ExecutionContext& context, LaneSet lanes, int n, bool training) const {
  LossCall call;
  // [classes][1][steps][n] is [classes][steps * n].
  call.n = n * graph_.positions;
  call.classes = graph_.classes;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.logits = at<const float>(plan_.passes.logits, n);
  call.labels = at<const std::int32_t>(plan_.labels);
  if (training) call.dlogits = at<float>(plan_.passes.dlogits, n);
  call.metrics = memory_.metrics;
  ops_.softmax_cross_entropy(context, call);
}

void Step::backward(ExecutionContext& context, LaneSet lanes) const {
  for (const Action& action : plan_.passes.backward) run(context, action, lanes, plan_.batch, true, true);
}

void Step::update(ExecutionContext& context, LaneSet lanes) const {
  UpdateCall call;
  call.count = graph_.parameters;
  call.decayed = graph_.decayed;
  call.nesterov = recipe_.nesterov;
  call.lanes = lanes;
  call.scalars = memory_.scalars;
  call.weight = at<float>(plan_.parameters);
  call.gradient = at<const float>(plan_.gradients);
  call.state0 = at<float>(plan_.state0);
  call.state1 = at<float>(plan_.state1);
  ops_.update(recipe_.optimizer)(context, call);
}

void Step::train(ExecutionContext& context, LaneSet lanes, Part part) const {
  gather(context, lanes, part, plan_.batch, true);
  forward(context, lanes, plan_.batch, true);
  loss(context, lanes, plan_.batch, true);
  backward(context, lanes);
  update(context, lanes);
}

void Step::evaluate(ExecutionContext& context, LaneSet lanes, Part part, int n) const {
  gather(context, lanes, part, n, false);
  forward(context, lanes, n, false);
  loss(context, lanes, n, false);
}

void Step::forward_one(ExecutionContext& context, int lane) const {
  forward(context, LaneSet{lane, 1, nullptr}, 1, false);
}

float* Step::input(int lane) const { return at<float>(plan_.passes.input, 1)[lane]; }

const float* Step::logits(int lane) const { return at<const float>(plan_.passes.logits, 1)[lane]; }

void Step::check_finite(ExecutionContext& context, LaneSet lanes) const {
  ops_.check_finite(context, lanes, at<const float>(plan_.parameters), graph_.parameters, memory_.finite);
}

}  // namespace convsweep
