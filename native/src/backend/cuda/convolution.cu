// conv2d and conv_transpose2d, as products whose columns are gathered from the image while they are loaded.
//
//   forward              y[oc][p]       = sum over (ic, k) of weight[oc][ic][k] x[ic][p + k]
//   backward to data     dx[ic][p]      = sum over (k, oc) of weight[oc][ic][k] dy[oc][p - k]
//   backward to weights  dw[oc][ic][k]  = sum over p of dy[oc][p] x[ic][p + k]
//
// p is a pixel of an image, k an element of the kernel.
//
// conv_transpose2d is the same with its directions exchanged: its forward pass is backward to data (index.h,
// transposed).
#include <algorithm>
#include <type_traits>

#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"
#include "backend/cuda/sums.h"
#include "ops/index.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// A number of three digits, the last of which runs fastest. The first has no bound.
struct Digits {
  int a, b, c;
};
struct Radix {
  int b, c;
  __device__ Digits digits(int number) const { return {number / c / b, number / c % b, number % c}; }
  // The sum of two numbers whose digits b and c are within their bounds.
  __device__ void add(Digits& to, const Digits& by) const {
    to.a += by.a;
    to.b += by.b;
    to.c += by.c;
    if (to.c >= c) {
      to.c -= c;
      ++to.b;
    }
    if (to.b >= b) {
      to.b -= b;
      ++to.a;
    }
  }
};

// What the image holds at one kernel element of one window; padding is 0.
class Windows {
 public:
  Windows(const LayerShape& s, int n, Lanes<const float> x) : s_(s), n_(n), x_(x) {}

  // An output element: where its window begins, as an offset too.
  struct Position {
    int row, column;
    std::int64_t offset;
  };
  // A channel of the group and a kernel element.
  struct Tap {
    int row, column;
    std::int64_t offset;
  };
  // (row, column, image) and (channel, kernel row, kernel column).
  __device__ Radix positions() const { return {s_.out.columns, n_}; }
  __device__ Radix taps() const { return {s_.kernel_rows, s_.kernel_columns}; }

  __device__ Position position(const Digits& d) const {
    const int row = input_row(s_, d.a, 0), column = input_column(s_, d.b, 0);
    return {row, column, (std::int64_t{row} * s_.in.columns + column) * n_ + d.c};
  }
  __device__ Tap tap(const Digits& d) const { return {d.b, d.c, pixel_offset(s_.in, d.a, d.b, d.c, n_)}; }
  __device__ const float* channels(int lane, int group) const {
    return x_[lane] + pixel_offset(s_.in, group * (s_.in.channels / s_.groups), 0, 0, n_);
  }
  __device__ bool sees(int row, int column) const { return inside(s_.in, row, column); }

 private:
  LayerShape s_;
  int n_;
  Lanes<const float> x_;
};

// Lines are output elements, the depth is a window's elements.
template <int width_>
struct WindowsByTap {
  static constexpr bool along_depth = false;
  static constexpr int width = width_;
  static constexpr bool sparse = false;
  using Piece = PieceOf<width>;
  Windows windows;
  // x from the window's beginning on, which may lie in the padding.
  struct Line {
    const float* x;
    int row, column;
  };
  struct Depth {
    Digits digits;
    Windows::Tap tap;
  };
  using Stride = Digits;
  __device__ Line line(int lane, int group, int index) const {
    const Windows::Position position = windows.position(windows.positions().digits(index));
    return {windows.channels(lane, group) + position.offset, position.row, position.column};
  }
  __device__ Depth depth(int k) const {
    const Digits digits = windows.taps().digits(k);
    return {digits, windows.tap(digits)};
  }
  __device__ Stride stride(int by) const { return windows.taps().digits(by); }
  __device__ void advance(Depth& at, const Stride& by) const {
    windows.taps().add(at.digits, by);
    at.tap = windows.tap(at.digits);
  }
  __device__ Piece value(const Line& line, const Depth& at) const {
    return windows.sees(line.row + at.tap.row, line.column + at.tap.column) ? piece_at<width>(line.x + at.tap.offset)
                                                                            : Piece{};
  }
};

// The other way round.
template <int width_>
struct WindowsByPosition {
  static constexpr bool along_depth = true;
  static constexpr int width = width_;
  static constexpr bool sparse = false;
  using Piece = PieceOf<width>;
  Windows windows;
  // x from the tap on: a thread holds several lines.
  struct Line {
    const float* x;
    int row, column;
  };
  struct Depth {
    Digits digits;
    Windows::Position position;
  };
  using Stride = Digits;
  __device__ Line line(int lane, int group, int index) const {
    const Windows::Tap tap = windows.tap(windows.taps().digits(index));
    return {windows.channels(lane, group) + tap.offset, tap.row, tap.column};
  }
  __device__ Depth depth(int k) const {
    const Digits digits = windows.positions().digits(k);
    return {digits, windows.position(digits)};
  }
  __device__ Stride stride(int by) const { return windows.positions().digits(by); }
  __device__ void advance(Depth& at, const Stride& by) const {
    windows.positions().add(at.digits, by);
    at.position = windows.position(at.digits);
  }
  __device__ Piece value(const Line& line, const Depth& at) const {
    return windows.sees(at.position.row + line.row, at.position.column + line.column)
               ? piece_at<width>(line.x + at.position.offset)
               : Piece{};
  }
};

// What of dy an input element went into: lines are input elements, the depth is kernel elements and, running fastest,
// output channels. Lines of a tile are close together, so many kernel elements lead none of them to an output.
template <int width_>
class Outputs {
 public:
  static constexpr bool along_depth = false;
  static constexpr int width = width_;
  static constexpr bool sparse = true;
  using Piece = PieceOf<width>;
  Outputs(const LayerShape& s, int n, Lanes<const float> dy)
      : s_(s), n_(n), channels_(s.out.channels / s.groups), dy_(dy) {}

  // dy from the output on that kernel element (0, 0) leads here from, which may lie outside; with strides from the
  // channel.
  struct Line {
    const float* dy;
    int row, column, image;
  };
  struct Depth {
    // Kernel row, kernel column, channel.
    Digits digits;
    std::int64_t offset;
  };
  using Stride = Digits;
  __device__ Line line(int lane, int group, int index) const {
    const Digits place = Radix{s_.in.columns, n_}.digits(index);
    const float* const dy = dy_[lane] + pixel_offset(s_.out, group * channels_, 0, 0, n_);
    const int row = place.a + s_.pad_top, column = place.b + s_.pad_left;
    return {dy + (unit() ? (std::int64_t{row} * s_.out.columns + column) * n_ : 0) + place.c, row, column, place.c};
  }
  __device__ Depth depth(int k) const { return at(radix().digits(k)); }
  __device__ Stride stride(int by) const { return radix().digits(by); }
  __device__ void advance(Depth& to, const Stride& by) const {
    radix().add(to.digits, by);
    to = at(to.digits);
  }
  __device__ bool sees(const Line& line, const Depth& depth) const {
    int row, column;
    return output(line, depth, row, column);
  }
  __device__ Piece value(const Line& line, const Depth& depth) const {
    int row, column;
    if (!output(line, depth, row, column)) return Piece{};
    return piece_at<width>(line.dy + depth.offset + (unit() ? 0 : (std::int64_t{row} * s_.out.columns + column) * n_));
  }

 private:
  __device__ bool unit() const { return s_.stride_rows == 1 && s_.stride_columns == 1; }
  __device__ Radix radix() const { return {s_.kernel_columns, channels_}; }
  __device__ Depth at(const Digits& d) const {
    const std::int64_t channel = std::int64_t{d.c} * s_.out.rows * s_.out.columns;
    return {d, (unit() ? channel - d.a * s_.out.columns - d.b : channel) * n_};
  }
  __device__ bool output(const Line& line, const Depth& depth, int& row, int& column) const {
    row = line.row - depth.digits.a;
    column = line.column - depth.digits.b;
    if (unit()) return inside(s_.out, row, column);
    // The division takes longer than all the rest.
    if (row < 0 || column < 0 || row % s_.stride_rows != 0 || column % s_.stride_columns != 0) return false;
    row /= s_.stride_rows;
    column /= s_.stride_columns;
    return inside(s_.out, row, column);
  }

  LayerShape s_;
  int n_, channels_;
  Lanes<const float> dy_;
};

// The weights as backward to data reads them, [in / groups][kernel][out / groups] for each group.
__global__ void __launch_bounds__(element_threads)
    turn_weights_kernel(LaneSet lanes, Lanes<const float> weight, Lanes<float> turned, int groups, int out, int in,
                        int kernel) {
  const int lane = element_lane(lanes), count = groups * out * in * kernel;
  for (std::int64_t i = first_element(lanes); i < count; i += element_stride(lanes)) {
    const int at = static_cast<int>(i), oc = at % out, tap = at / out % kernel, ic = at / out / kernel % in,
              group = at / out / kernel / in;
    turned[lane][at] = weight[lane][((group * out + oc) * in + ic) * kernel + tap];
  }
}

// An extent of a product; larger ones would take more memory than a device has.
int extent(std::int64_t size) {
  if (size <= 0x7FFFFFFF) return static_cast<int>(size);
  throw Error(ErrorCode::ENGINE_INTERNAL, "", "a convolution over " + std::to_string(size) + " elements of a channel");
}

// The sizes of one group.
struct Sizes {
  int in, out, window, groups, kernel;
  int in_run, out_run;
  explicit Sizes(const LayerShape& s, int n)
      : in(s.in.channels / s.groups),
        out(s.out.channels / s.groups),
        window(in * s.kernel_rows * s.kernel_columns),
        groups(s.groups),
        kernel(s.kernel_rows * s.kernel_columns),
        in_run(extent(s.in.plane() * n)),
        out_run(extent(s.out.plane() * n)) {}
};

// Images lie innermost, so where they come in fours all operands do.
template <class Use>
void over_images(int n, const Lanes<const float>& x, const Lanes<const float>& dy, const Use& use) {
  if (n % 4 == 0 && in_fours(x) && in_fours(dy)) {
    use(std::integral_constant<int, 4>{});
  } else {
    use(std::integral_constant<int, 1>{});
  }
}

void to_outputs(ExecutionContext& context, const LayerCall& call, const LayerShape& s, Lanes<const float> x,
                Lanes<const float> bias, Lanes<float> y) {
  const Sizes z(s, call.n);
  over_images(call.n, x, y, [&](auto width) {
    constexpr int w = decltype(width)::value;
    product(context, call.lanes, {z.out, z.out_run, z.window, z.groups},
            Strided<true>{call.weight, z.window, 1, std::int64_t{z.out} * z.window},
            WindowsByTap<w>{Windows(s, call.n, x)},
            Store{y, z.out_run, std::int64_t{z.out} * z.out_run, 0, bias, z.out, call.fusion.relu_behind, w == 4});
  });
}

void to_inputs(ExecutionContext& context, const LayerCall& call, const LayerShape& s, Lanes<const float> dy,
               Lanes<const float> bias, Lanes<float> dx) {
  const Sizes z(s, call.n);
  const int depth = z.kernel * z.out, weights = z.groups * z.in * depth;
  const Lanes<float> turned = as_floats(call.scratch);
  CONVSWEEP_LAUNCH(turn_weights_kernel, element_grid(call.lanes, weights), dim3(element_threads), 0,
                   cast(context).stream, call.lanes, call.weight, turned, z.groups, z.out, z.in, z.kernel);
  over_images(call.n, dx, dy, [&](auto width) {
    constexpr int w = decltype(width)::value;
    product(context, call.lanes, {z.in, z.in_run, depth, z.groups},
            Strided<true>{turned, depth, 1, std::int64_t{z.in} * depth}, Outputs<w>(s, call.n, dy),
            Store{dx, z.in_run, std::int64_t{z.in} * z.in_run, 0, bias, z.in, false, w == 4});
  });
}

// Of backward to data.
std::size_t turned_bytes(const LayerShape& s, int n) {
  const Sizes z(s, n);
  return static_cast<std::size_t>(z.groups * z.in * z.kernel * z.out) * sizeof(float);
}

ProductShape weights_shape(const LayerShape& s, int n) {
  const Sizes z(s, n);
  return with_splits({z.out, z.window, z.out_run, z.groups}, 128);
}

void to_weights(ExecutionContext& context, const LayerCall& call, const LayerShape& s, Lanes<const float> x,
                Lanes<const float> dy) {
  const Sizes z(s, call.n);
  over_images(call.n, x, dy, [&](auto width) {
    constexpr int w = decltype(width)::value;
    deep_product(context, call.lanes, weights_shape(s, call.n),
                 Strided<true, w>{dy, z.out_run, 1, std::int64_t{z.out} * z.out_run},
                 WindowsByPosition<w>{Windows(s, call.n, x)}, call.dweight, call.scratch);
  });
}

std::int64_t run_of(const LayerCall& call) { return call.shape.out.plane() * call.n; }

}  // namespace

void conv2d_forward(ExecutionContext& context, const LayerCall& call) {
  to_outputs(context, call, call.shape, call.x, call.bias, call.y);
}

void conv2d_backward(ExecutionContext& context, const LayerCall& call) {
  const Lanes<const float> dy = bias_gradient(context, call, call.shape.out.channels, run_of(call));
  if (call.dweight) to_weights(context, call, call.shape, call.x, dy);
  if (call.dx) to_inputs(context, call, call.shape, dy, {}, call.dx);
}

std::size_t conv2d_scratch_bytes(const LayerShape& s, int n, int) {
  return std::max(
      {split_bytes(weights_shape(s, n)), turned_bytes(s, n), chunk_bytes(s.out.channels, s.out.plane() * n)});
}

void conv_transpose2d_forward(ExecutionContext& context, const LayerCall& call) {
  to_inputs(context, call, transposed(call.shape), call.x, call.bias, call.y);
}

void conv_transpose2d_backward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape s = transposed(call.shape);
  const Lanes<const float> dy = bias_gradient(context, call, call.shape.out.channels, run_of(call));
  if (call.dweight) to_weights(context, call, s, dy, call.x);
  if (call.dx) to_outputs(context, call, s, dy, {}, call.dx);
}

std::size_t conv_transpose2d_scratch_bytes(const LayerShape& s, int n, int) {
  return std::max({split_bytes(weights_shape(transposed(s), n)), turned_bytes(transposed(s), n),
                   chunk_bytes(s.out.channels, s.out.plane() * n)});
}

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
