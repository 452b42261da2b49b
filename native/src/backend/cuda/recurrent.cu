// rnn (a plain cell with tanh) and lstm (S. Hochreiter, J. Schmidhuber 1997; gates in PyTorch's order i, f, g, o).
//
// A step is one product whose last act is the cell: gates = [weight_ih, weight_hh] [x of the step; h of the step
// before]
// + biases. Backward, step by step from the last: the gradient that came back through h is weight_hh^T times the gates'
// gradients of the step after, and is turned into this step's on the spot. The gradients of x and of the weights are
// then products over all steps at once.
//
// A step's memory is [rows][units][images rounded up to 16] with recurrent_saved_rows(op) rows: the gates, for the lstm
// c and tanh(c), and h. Backward writes the gates' gradients over the gates.
#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"
#include "backend/cuda/sums.h"
#include "ops/index.h"
#include "ops/math.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// Extents of a call and of its memory of steps.
struct Sizes {
  int in, units, gates, steps, n;
  // An array of [units][images rounded up], and a step.
  std::int64_t width, row, step;

  Sizes(const LayerShape& s, int images)
      : in(s.in.channels),
        units(s.out.channels),
        gates(recurrent_gates(s.op)),
        steps(s.in.columns),
        n(images),
        width((images + 15) / 16 * 16),
        row(units * width),
        step(recurrent_saved_rows(s.op) * row) {}
  int rows() const { return gates * units; }
  // All steps of all images.
  int columns() const { return steps * n; }
};

// weight_ih and weight_hh side by side. Lines are the gates of a unit, one behind the other, unit after unit.
struct CellWeights {
  static constexpr bool along_depth = true;
  static constexpr int width = 1;
  static constexpr bool sparse = false;
  using Piece = float;
  Lanes<const float> weight;
  int in, units, gates;
  struct Line {
    const float *ih, *hh;
  };
  using Depth = int;
  using Stride = int;
  __device__ Line line(int lane, int, int index) const {
    const int row = index % gates * units + index / gates;
    return {weight[lane] + std::int64_t{row} * in,
            weight[lane] + std::int64_t{gates} * units * in + std::int64_t{row} * units};
  }
  __device__ Depth depth(int k) const { return k; }
  __device__ Stride stride(int by) const { return by; }
  __device__ void advance(Depth& at, const Stride& by) const { at += by; }
  __device__ float value(const Line& line, const Depth& at) const { return at < in ? line.ih[at] : line.hh[at - in]; }
};

// The features of a step and, below them, h of the step before. Lines are images.
struct CellInputs {
  static constexpr bool along_depth = false;
  static constexpr int width = 1;
  static constexpr bool sparse = false;
  using Piece = float;
  // Of the step, feature to feature x_stride.
  Lanes<const float> x;
  std::int64_t x_stride;
  // h, unit to unit h_stride.
  Lanes<const float> h;
  std::int64_t h_stride;
  int in;
  struct Line {
    const float *x, *h;
  };
  using Depth = int;
  using Stride = int;
  __device__ Line line(int lane, int, int index) const { return {x[lane] + index, h[lane] + index}; }
  __device__ Depth depth(int k) const { return k; }
  __device__ Stride stride(int by) const { return by; }
  __device__ void advance(Depth& at, const Stride& by) const { at += by; }
  __device__ float value(const Line& line, const Depth& at) const {
    return at < in ? line.x[at * x_stride] : line.h[(at - in) * h_stride];
  }
};

// The cell of a step. `before` is null at the first.
struct Cell {
  Lanes<const float> bias;
  Lanes<float> now;
  Lanes<const float> before;
  // Null where this step's h is not asked for; unit to unit y_stride.
  Lanes<float> y;
  std::int64_t row, width, y_stride;
  int units;

  __device__ float gate(const float* biases, int gates, int gate, int unit, float sum) const {
    const int at = gate * units + unit;
    return sum + (biases[at] + biases[gates * units + at]);
  }
  __device__ void put(float* to, int unit, int image, float h, int lane) const {
    *to = h;
    if (y.base != nullptr) y[lane][unit * y_stride + image] = h;
  }
};

struct PlainCell : Cell {
  template <int count>
  __device__ void take(int lane, int unit, int image, const float (&sums)[count]) const {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      if (unit + i >= units) break;
      float* const to = now[lane] + (unit + i) * width + image;
      const float h = math::tanh(gate(bias[lane], 1, 0, unit + i, sums[i]));
      to[0] = h;
      put(to + row, unit + i, image, h, lane);
    }
  }
};

struct LstmCell : Cell {
  // `first` is the first of a unit's four gates.
  __device__ void take(int lane, int first, int image, const float (&sums)[4]) const {
    const int unit = first / 4;
    const float* const biases = bias[lane];
    float* const to = now[lane] + unit * width + image;
    const float i = math::sigmoid(gate(biases, 4, 0, unit, sums[0]));
    const float f = math::sigmoid(gate(biases, 4, 1, unit, sums[1]));
    const float g = math::tanh(gate(biases, 4, 2, unit, sums[2]));
    const float o = math::sigmoid(gate(biases, 4, 3, unit, sums[3]));
    const float old = before.base != nullptr ? before[lane][4 * row + unit * width + image] : 0.0F;
    const float c = ::fmaf(f, old, i * g), squashed = math::tanh(c);
    to[0] = i;
    to[row] = f;
    to[2 * row] = g;
    to[3 * row] = o;
    to[4 * row] = c;
    to[5 * row] = squashed;
    put(to + 6 * row, unit, image, o * squashed, lane);
  }
};

// What comes back to a step: dy where the step has one, and the product's sums, through h of the step after. Writes the
// gates' gradients over the gates.
struct CellGradient {
  Lanes<const float> dy;  // null where the step has none; unit to unit dy_stride
  Lanes<float> now;
  std::int64_t row, width, dy_stride;
  int units;
  __device__ float dh(int lane, int unit, int image, float carried) const {
    return dy.base != nullptr ? dy[lane][unit * dy_stride + image] + carried : carried;
  }
};

struct PlainGradient : CellGradient {
  template <int count>
  __device__ void take(int lane, int unit, int image, const float (&carried)[count]) const {
#pragma unroll
    for (int i = 0; i < count; ++i) {
      if (unit + i >= units) break;
      float* const at = now[lane] + (unit + i) * width + image;
      *at = dh(lane, unit + i, image, carried[i]) * ::fmaf(0.0F - *at, *at, 1.0F);
    }
  }
};

struct LstmGradient : CellGradient {
  Lanes<const float> before;  // null at the first step
  Lanes<float> dc;            // [units][width], in and out
  bool last;
  template <int count>
  __device__ void take(int lane, int first, int image, const float (&carried)[count]) const {
#pragma unroll
    for (int k = 0; k < count; ++k) {
      const int unit = first + k;
      if (unit >= units) break;
      const std::int64_t place = unit * width + image;
      float* const at = now[lane] + place;
      const float i = at[0], f = at[row], g = at[2 * row], o = at[3 * row], squashed = at[5 * row];
      const float old = before.base != nullptr ? before[lane][4 * row + place] : 0.0F;
      const float back = dh(lane, unit, image, carried[k]);
      const float later = last ? 0.0F : dc[lane][place];
      const float inner = ::fmaf(back * o, ::fmaf(0.0F - squashed, squashed, 1.0F), later);
      at[0] = inner * g * (i * (1.0F - i));
      at[row] = inner * old * (f * (1.0F - f));
      at[2 * row] = inner * i * ::fmaf(0.0F - g, g, 1.0F);
      at[3 * row] = back * squashed * (o * (1.0F - o));
      dc[lane][place] = inner * f;
    }
  }
};

template <class T>
Lanes<T> moved(const Lanes<T>& lanes, std::int64_t by) {
  return lanes ? Lanes<T>{lanes.base + by, lanes.stride} : lanes;
}

// Between steps a forward pass that nobody goes back through keeps two of them, in scratch memory.
std::size_t eval_bytes(const Sizes& z) { return static_cast<std::size_t>(2 * z.step) * sizeof(float); }

void forward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape& s = call.shape;
  const Sizes z(s, call.n);
  const Lanes<float> memory = as_floats(call.training ? call.saved : call.scratch);
  const auto step = [&](int t) { return moved(memory, (call.training ? t : t % 2) * z.step); };
  const std::int64_t h = (recurrent_saved_rows(s.op) - 1) * z.row, y_stride = s.out.plane() * z.n;
  for (int t = 0; t < z.steps; ++t) {
    const Lanes<const float> before = t > 0 ? step(t - 1) : Lanes<float>{};
    Cell cell{call.bias, step(t), before, {}, z.row, z.width, y_stride, z.units};
    if (s.every_step || t + 1 == z.steps) cell.y = moved(call.y, s.every_step ? std::int64_t{t} * z.n : 0);
    // The first step has no h.
    const ProductShape shape{z.rows(), z.n, t > 0 ? z.in + z.units : z.in};
    const CellWeights weights{call.weight, z.in, z.units, z.gates};
    const CellInputs inputs{moved(call.x, std::int64_t{t} * z.n), z.columns(), t > 0 ? moved(before, h) : call.x,
                            z.width, z.in};
    if (s.op == Op::lstm) {
      four_row_product(context, call.lanes, shape, weights, inputs, EachColumn<LstmCell>{{cell}});
    } else {
      product(context, call.lanes, shape, weights, inputs, EachColumn<PlainCell>{{cell}});
    }
  }
}

// Steps of memory as an operand's axis: (step, image).
BlockedAxis steps_axis(const Sizes& z) { return {z.n, z.step, 1}; }

// Gradients of the gates, or h, of all steps: element ((step, image), row).
struct StepTerm {
  Lanes<const float> base;
  std::int64_t step, width;
  int n;
  __device__ float operator()(int lane, int row, std::int64_t i) const {
    return base[lane][i / n * step + row * width + i % n];
  }
};
// bias_ih and bias_hh have the same gradient.
struct TakeTwice {
  Lanes<float> to;
  int rows;
  __device__ void operator()(int lane, int row, double sum) const {
    to[lane][row] = to[lane][rows + row] = static_cast<float>(sum);
  }
};

// Of the scratch memory the first [units][width] floats are dc, the rest the splits of the weights' products.
ProductShape input_weights(const Sizes& z) { return with_splits({z.rows(), z.in, z.columns()}, 128); }
ProductShape state_weights(const Sizes& z) { return with_splits({z.rows(), z.units, (z.steps - 1) * z.n}, 128); }

void step_gradients(ExecutionContext& context, const LayerCall& call, const Sizes& z, const Lanes<float>& memory) {
  const LayerShape& s = call.shape;
  const std::int64_t dy_stride = s.out.plane() * z.n;
  const Lanes<const float> state_weight = moved(call.weight, std::int64_t{z.rows()} * z.in);
  for (int t = z.steps - 1; t >= 0; --t) {
    const bool last = t + 1 == z.steps;
    CellGradient gradient{{}, moved(memory, t * z.step), z.row, z.width, dy_stride, z.units};
    if (s.every_step || last) gradient.dy = moved(call.dy, s.every_step ? std::int64_t{t} * z.n : 0);
    const ProductShape shape{z.units, z.n, last ? 0 : z.rows()};
    const Strided<false> weights{state_weight, 1, z.units};
    const Strided<false> after{last ? memory : moved(memory, (t + 1) * z.step), 1, z.width};
    if (s.op == Op::lstm) {
      product(context, call.lanes, shape, weights, after,
              EachColumn<LstmGradient>{
                  {gradient, t > 0 ? moved(memory, (t - 1) * z.step) : Lanes<float>{}, as_floats(call.scratch), last}});
    } else {
      product(context, call.lanes, shape, weights, after, EachColumn<PlainGradient>{{gradient}});
    }
  }
}

void backward(ExecutionContext& context, const LayerCall& call) {
  const Sizes z(call.shape, call.n);
  const Lanes<float> memory = as_floats(call.saved);
  const LaneSet& lanes = call.lanes;
  step_gradients(context, call, z, memory);
  sum_runs(context, lanes, z.rows(), z.columns(), StepTerm{memory, z.step, z.width, z.n},
           TakeTwice{call.dbias, z.rows()});
  const Lanes<std::byte> splits = moved(call.scratch, z.row * static_cast<std::int64_t>(sizeof(float)));
  const Blocked<true> gradients{memory, plain_axis(z.width), steps_axis(z)};
  deep_product(context, lanes, input_weights(z), gradients, Strided<true>{call.x, z.columns(), 1}, call.dweight,
               splits);
  const std::int64_t h = (recurrent_saved_rows(call.shape.op) - 1) * z.row;
  // Gradients of a step meet h of the step before. With a single step there is none: the product is of depth 0.
  deep_product(context, lanes, state_weights(z),
               Blocked<true>{z.steps > 1 ? moved(memory, z.step) : memory, plain_axis(z.width), steps_axis(z)},
               Blocked<true>{moved(memory, h), plain_axis(z.width), steps_axis(z)},
               moved(call.dweight, std::int64_t{z.rows()} * z.in), splits);
  if (!call.dx) return;
  product(context, lanes, {z.in, z.columns(), z.rows()}, Strided<false>{call.weight, 1, z.in},
          Blocked<false>{memory, steps_axis(z), plain_axis(z.width)},
          Store{call.dx, z.columns(), 0, 0, {}, z.in, false, false});
}

std::size_t scratch_bytes(const LayerShape& s, int n) {
  const Sizes z(s, n);
  const std::size_t input = split_bytes(input_weights(z)), state = split_bytes(state_weights(z));
  const std::size_t back = static_cast<std::size_t>(z.row) * sizeof(float) + (input < state ? state : input);
  return eval_bytes(z) < back ? back : eval_bytes(z);
}

}  // namespace

#define CONVSWEEP_RECURRENT(name)                                                                     \
  void name##_forward(ExecutionContext& context, const LayerCall& call) { forward(context, call); }   \
  void name##_backward(ExecutionContext& context, const LayerCall& call) { backward(context, call); } \
  std::size_t name##_scratch_bytes(const LayerShape& s, int n, int) { return scratch_bytes(s, n); }

CONVSWEEP_RECURRENT(rnn)
CONVSWEEP_RECURRENT(lstm)
#undef CONVSWEEP_RECURRENT

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
