#include "op_cases.h"

#include <limits>

namespace convsweep::test {
namespace {

LayerSpec of(Op op) {
  LayerSpec spec;
  spec.op = op;
  spec.epsilon = 1e-5;
  spec.momentum = 0.1;
  spec.slope = 0.1;
  spec.rate = 0.3;
  return spec;
}

LayerSpec linear(int units, bool bias) {
  LayerSpec spec = of(Op::linear);
  spec.units = units;
  spec.bias = bias;
  return spec;
}

constexpr Padding valid{PaddingKind::valid, {0, 0}};
constexpr Padding same{PaddingKind::same, {0, 0}};
Padding pad(int rows, int columns) { return {PaddingKind::pair, {rows, columns}}; }

LayerSpec conv(int filters, Pair kernel, Pair stride, Padding padding, int groups, bool bias) {
  LayerSpec spec = of(Op::conv2d);
  spec.filters = filters;
  spec.kernel = kernel;
  spec.stride = stride;
  spec.padding = padding;
  spec.groups = groups;
  spec.bias = bias;
  return spec;
}

LayerSpec conv_transpose(int filters, Pair kernel, Pair stride, Pair padding, Pair extra, int groups, bool bias) {
  LayerSpec spec = conv(filters, kernel, stride, pad(padding.rows, padding.columns), groups, bias);
  spec.op = Op::conv_transpose2d;
  spec.output_padding = extra;
  return spec;
}

LayerSpec reshape(Extent shape) {
  LayerSpec spec = of(Op::reshape);
  spec.shape = shape;
  return spec;
}

LayerSpec pool(Op op, Pair size, Pair stride, Padding padding) {
  LayerSpec spec = of(op);
  spec.kernel = size;
  spec.stride = stride;
  spec.padding = padding;
  return spec;
}

LayerSpec adaptive(Op op, Pair output) {
  LayerSpec spec = of(op);
  spec.output = output;
  return spec;
}

LayerSpec recurrent(Op op, int units, bool return_sequences) {
  LayerSpec spec = of(op);
  spec.units = units;
  spec.return_sequences = return_sequences;
  return spec;
}

LayerSpec embedding(int vocabulary, int units) {
  LayerSpec spec = of(Op::embedding);
  spec.vocabulary = vocabulary;
  spec.units = units;
  return spec;
}

std::vector<LayerCase> make_cases() {
  std::vector<LayerCase> cases;
  const auto add = [&cases](std::string name, const LayerSpec& spec, Extent in, int n, double tolerance = 2e-6) {
    cases.push_back({op_name(spec.op) + (" " + std::move(name)), spec, in, n, tolerance});
  };
  add("one of everything", linear(1, true), {1, 1, 1}, 1);
  add("odd sizes", linear(7, true), {19, 1, 1}, 17);
  add("no bias", linear(33, false), {70, 1, 1}, 3);
  add("images in fours", linear(33, true), {70, 1, 1}, 36);
  add("full batch", linear(10, true), {64, 1, 1}, 100);

  add("1x1", conv(3, {1, 1}, {1, 1}, valid, 1, true), {2, 3, 4}, 3);
  add("first layer of lenet", conv(20, {5, 5}, {1, 1}, valid, 1, true), {1, 12, 12}, 17, 4e-6);
  add("second layer of lenet", conv(50, {5, 5}, {1, 1}, valid, 1, true), {20, 6, 6}, 5, 8e-6);
  add("asymmetric same", conv(4, {2, 2}, {1, 1}, same, 1, true), {4, 6, 5}, 32);
  add("same 3x3, no bias", conv(5, {3, 3}, {1, 1}, same, 1, false), {3, 7, 5}, 100, 8e-6);
  add("same of a kernel larger than the image", conv(2, {5, 5}, {1, 1}, same, 1, true), {2, 3, 2}, 3);
  add("stride", conv(4, {3, 3}, {2, 2}, pad(1, 1), 1, true), {3, 8, 7}, 3);
  add("uneven stride, kernel and padding", conv(3, {3, 2}, {2, 3}, pad(2, 1), 1, true), {2, 6, 9}, 17);
  add("same, stride 2, the odd one at the end", conv(5, {3, 3}, {2, 2}, same, 1, true), {3, 8, 6}, 17);
  add("same, stride 2 of odd sizes", conv(4, {3, 3}, {2, 2}, same, 1, false), {4, 7, 5}, 32);
  add("same, uneven stride, images in fours", conv(6, {4, 5}, {2, 3}, same, 2, true), {4, 9, 10}, 20, 4e-6);
  add("same, even kernel, stride 2", conv(18, {2, 2}, {2, 2}, same, 1, true), {20, 5, 7}, 8);
  add("same, stride 2, first layer", conv(20, {5, 5}, {2, 2}, same, 1, true), {1, 12, 12}, 17, 4e-6);
  add("same, stride beyond the kernel", conv(2, {1, 2}, {3, 3}, same, 1, true), {3, 7, 8}, 1);
  add("stride beyond the kernel", conv(2, {1, 2}, {3, 3}, valid, 1, true), {3, 7, 8}, 1);
  add("groups", conv(6, {3, 3}, {1, 1}, same, 3, true), {9, 5, 5}, 17);
  add("depthwise with stride", conv(4, {3, 3}, {2, 2}, pad(1, 1), 4, false), {4, 6, 6}, 3);
  add("groups, images in fours", conv(6, {3, 2}, {2, 1}, pad(1, 0), 2, true), {4, 7, 5}, 20);
  add("images in fours that no output came from", conv(18, {5, 5}, {1, 1}, valid, 1, true), {20, 9, 9}, 8, 1.2e-5);
  add("rows that no window sees", conv(2, {2, 2}, {2, 2}, valid, 1, true), {2, 5, 7}, 3);

  add("1x1", conv_transpose(3, {1, 1}, {1, 1}, {0, 0}, {0, 0}, 1, true), {2, 3, 4}, 3);
  add("a vector to a plane", conv_transpose(9, {4, 4}, {1, 1}, {0, 0}, {0, 0}, 1, false), {33, 1, 1}, 17, 4e-6);
  add("doubling", conv_transpose(5, {4, 4}, {2, 2}, {1, 1}, {0, 0}, 1, true), {6, 5, 4}, 17, 4e-6);
  add("4 to 7", conv_transpose(3, {3, 3}, {2, 2}, {1, 1}, {0, 0}, 1, false), {4, 4, 4}, 60, 4e-6);
  add("groups, images in fours", conv_transpose(4, {3, 3}, {1, 2}, {0, 1}, {0, 1}, 2, true), {6, 4, 3}, 12);
  add("output padding", conv_transpose(3, {3, 3}, {2, 2}, {1, 1}, {1, 1}, 1, true), {2, 4, 3}, 3);
  add("uneven in everything", conv_transpose(4, {3, 2}, {2, 3}, {2, 0}, {0, 2}, 1, true), {3, 4, 3}, 5);
  add("stride beyond the kernel", conv_transpose(2, {1, 2}, {3, 3}, {0, 0}, {2, 0}, 1, true), {3, 3, 2}, 17);
  add("groups", conv_transpose(6, {3, 3}, {1, 1}, {1, 1}, {0, 0}, 3, true), {9, 5, 5}, 17);
  add("depthwise with stride", conv_transpose(4, {2, 2}, {2, 2}, {0, 0}, {0, 0}, 4, false), {4, 3, 3}, 1);

  add("planes", of(Op::batch_norm), {5, 3, 4}, 17, 1e-5);
  add("flat", of(Op::batch_norm), {7, 1, 1}, 3, 1e-5);
  add("full batch", of(Op::batch_norm), {3, 5, 5}, 100, 1e-5);

  for (const Op op : {Op::relu, Op::leaky_relu, Op::tanh, Op::sigmoid, Op::dropout}) {
    add("one image", of(op), {1, 1, 1}, 1);
    add("odd sizes", of(op), {3, 5, 7}, 17);
    add("full batch", of(op), {4, 6, 6}, 100);
  }

  for (const Op op : {Op::max_pool2d, Op::avg_pool2d}) {
    add("2x2", pool(op, {2, 2}, {2, 2}, valid), {3, 6, 8}, 17);
    add("rest left over", pool(op, {2, 2}, {2, 2}, valid), {2, 5, 7}, 3);
    add("4x4", pool(op, {4, 4}, {4, 4}, valid), {4, 8, 8}, 32);
    add("overlapping, padded", pool(op, {3, 3}, {2, 2}, pad(1, 1)), {2, 7, 6}, 3);
    add("uneven", pool(op, {3, 2}, {1, 3}, pad(1, 0)), {2, 5, 8}, 17);
    add("same", pool(op, {2, 2}, {1, 1}, same), {2, 4, 5}, 1);
    add("same, side by side, the last one half outside", pool(op, {2, 2}, {2, 2}, same), {3, 5, 7}, 17);
    add("same, overlapping", pool(op, {3, 3}, {2, 2}, same), {2, 8, 6}, 32);
    add("same, uneven", pool(op, {3, 4}, {2, 3}, same), {2, 6, 8}, 3);
    add("gaps between windows", pool(op, {1, 2}, {2, 3}, valid), {2, 5, 8}, 100);
  }
  for (const Op op : {Op::adaptive_max_pool2d, Op::adaptive_avg_pool2d}) {
    add("evenly divided", adaptive(op, {2, 3}), {3, 4, 9}, 17);
    add("overlapping", adaptive(op, {3, 4}), {2, 5, 7}, 32);
    add("one side evenly", adaptive(op, {3, 2}), {2, 7, 8}, 3);
    add("larger than the input", adaptive(op, {5, 3}), {2, 3, 3}, 17);
    add("windows of 2 and 3", adaptive(op, {7, 7}), {4, 17, 16}, 20);
    add("to one", adaptive(op, {1, 1}), {3, 5, 4}, 100);
  }
  for (const Op op : {Op::global_avg_pool2d, Op::global_max_pool2d}) {
    add("odd sizes", of(op), {5, 3, 4}, 17);
    add("already flat", of(op), {3, 1, 1}, 100);
  }
  add("planes", of(Op::flatten), {2, 3, 4}, 17);
  add("flat to planes", reshape({2, 3, 4}), {24, 1, 1}, 17);
  add("planes to other planes", reshape({4, 1, 6}), {2, 3, 4}, 3);

  add("grey", of(Op::rows_as_sequence), {1, 5, 3}, 17);
  add("colour", of(Op::rows_as_sequence), {3, 4, 2}, 3);
  add("a sequence of characters", embedding(7, 5), {1, 1, 6}, 17);
  add("one character", embedding(1, 1), {1, 1, 1}, 1);
  for (const Op op : {Op::rnn, Op::lstm}) {
    add("one of everything", recurrent(op, 1, false), {1, 1, 1}, 1);
    add("one step", recurrent(op, 5, true), {3, 1, 1}, 17);
    add("last step", recurrent(op, 6, false), {7, 1, 4}, 17, 4e-6);
    add("every step", recurrent(op, 19, true), {5, 1, 6}, 33, 4e-6);
    add("full batch", recurrent(op, 9, true), {20, 1, 3}, 100, 4e-6);
  }
  add("wide", recurrent(Op::lstm, 130, true), {150, 1, 3}, 20, 1e-5);
  // So many (step, image) that the gradients of the weights are summed some steps at a time.
  add("long", recurrent(Op::lstm, 11, true), {5, 1, 23}, 37, 1e-5);
  return cases;
}

std::size_t at_least(std::int64_t count) { return static_cast<std::size_t>(count); }

// The recurrent layers' two weights lie one behind the other, and so do their biases.
std::int64_t size_of_parameter(const LayerShape& shape, const std::string& name) {
  std::int64_t size = 0;
  for (const TensorShape& t : layer_parameters(shape)) {
    if (std::string(t.name).starts_with(name)) size += t.size();
  }
  return size;
}

std::int64_t statistics_of(const LayerShape& shape) { return has_running_statistics(shape) ? shape.in.channels : 0; }

template <class T>
Lanes<T> lane(Guarded<T>& buffer) {
  return buffer.size() == 0 ? Lanes<T>{} : Lanes<T>{buffer.data(), 0};
}

}  // namespace

const std::vector<LayerCase>& layer_cases() {
  static const std::vector<LayerCase> cases = make_cases();
  return cases;
}

template <class Real>
LayerRun<Real>::LayerRun(const LayerCase& which)
    : shape(infer_layer(which.spec, which.in, 3, "network.layers[3]")),
      n(which.n),
      x(at_least(shape.in.size() * n)),
      y(at_least(shape.out.size() * n)),
      dy(y.size()),
      dx(x.size()),
      weight(at_least(size_of_parameter(shape, "weight"))),
      bias(at_least(size_of_parameter(shape, "bias"))),
      dweight(weight.size()),
      dbias(bias.size()),
      mean(at_least(statistics_of(shape))),
      var(mean.size()),
      saved(saved_bytes(shape, n, sizeof(Real))) {
  scalars.key = 0x1234567890ABCDEF;
  scalars.step = 5;
  scalars.dropout = std::numeric_limits<float>::quiet_NaN();
  x.fill(1);
  if (shape.op == Op::embedding) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<Real>((i * 5 + i / 3) % at_least(shape.vocabulary));
  }
  dy.fill(2);
  weight.fill(3);
  bias.fill(4);
  mean.fill(5);
  for (std::size_t i = 0; i < var.size(); ++i) var[i] = static_cast<Real>(1.5 + value_at(6, i));
}

template <class Real>
BasicLayerCall<Real> LayerRun<Real>::call(bool training) {
  BasicLayerCall<Real> c;
  c.shape = shape;
  c.n = n;
  c.training = training;
  c.scalars = &scalars;
  c.x = lane(x);
  c.y = lane(y);
  c.dy = lane(dy);
  c.dx = lane(dx);
  c.weight = lane(weight);
  c.bias = lane(bias);
  c.dweight = lane(dweight);
  c.dbias = lane(dbias);
  c.running_mean = lane(mean);
  c.running_var = lane(var);
  c.saved = lane(saved);
  return c;
}

template <class Real>
void LayerRun<Real>::check_guards() const {
  x.check("x");
  y.check("y");
  dy.check("dy");
  dx.check("dx");
  weight.check("weight");
  bias.check("bias");
  dweight.check("dweight");
  dbias.check("dbias");
  mean.check("running mean");
  var.check("running variance");
  saved.check("saved");
}

template struct LayerRun<float>;
template struct LayerRun<double>;

}  // namespace convsweep::test
