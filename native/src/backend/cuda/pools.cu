// Max and average pools over any window, stride and padding; the global ones are those whose window is the image, the
// adaptive ones those whose windows have sizes of their own unless they divide the input evenly. Bytes as on the CPU.
//
// Forward, a thread an output element, goes over its window row by row. Backward gathers: a thread an input element
// adds up what the windows that hold it give back, in ascending order, so overlapping windows need no atomics.
#include "backend/cuda/activate.h"
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/operands.h"
#include "convsweep/rng.h"
#include "ops/index.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// An element of [channel][row][column][image].
struct Place {
  int channel, row, column, image;
  __device__ Place(const Extent& e, int n, std::int64_t at) {
    // Divisions of 32 bits take a fraction of the time.
    if (at <= 0x7FFFFFFF) {
      take(e, static_cast<unsigned>(at), static_cast<unsigned>(n));
    } else {
      take(e, static_cast<std::uint64_t>(at), static_cast<std::uint64_t>(n));
    }
  }

 private:
  template <class Number>
  __device__ void take(const Extent& e, Number at, Number n) {
    const Number pixel = at / n, line = pixel / static_cast<Number>(e.columns);
    image = static_cast<int>(at - pixel * n);
    column = static_cast<int>(pixel - line * static_cast<Number>(e.columns));
    const Number plane = line / static_cast<Number>(e.rows);
    row = static_cast<int>(line - plane * static_cast<Number>(e.rows));
    channel = static_cast<int>(plane);
  }
};

// Windows of one size.
struct Fixed {
  static constexpr bool adaptive = false;
};
// Windows of sizes of their own: adaptive_span().
struct Adaptive {
  static constexpr bool adaptive = true;
};

// visit(value, index within the window) for each element of the window that is not padding.
template <class Windows, class Visit>
__device__ inline void each_element(const LayerShape& s, int n, const float* x, const Place& out, const Visit& visit) {
  if constexpr (Windows::adaptive) {
    const Span rows = adaptive_span(out.row, s.in.rows, s.out.rows);
    const Span columns = adaptive_span(out.column, s.in.columns, s.out.columns);
    for (int row = rows.begin; row < rows.end; ++row) {
      for (int column = columns.begin; column < columns.end; ++column) {
        visit(x[pixel_offset(s.in, out.channel, row, column, n) + out.image],
              (row - rows.begin) * s.kernel_columns + column - columns.begin);
      }
    }
  } else {
    for (int kr = 0; kr < s.kernel_rows; ++kr) {
      const int row = input_row(s, out.row, kr);
      if (row < 0 || row >= s.in.rows) continue;
      for (int kc = 0; kc < s.kernel_columns; ++kc) {
        const int column = input_column(s, out.column, kc);
        if (column < 0 || column >= s.in.columns) continue;
        visit(x[pixel_offset(s.in, out.channel, row, column, n) + out.image], kr * s.kernel_columns + kc);
      }
    }
  }
}

// Windows [low, high) along an axis that hold input position `in`.
struct Holders {
  int low, high;
  __device__ Holders(int in, int stride, int pad, int size, int out_extent) {
    const int shifted = in + pad, last = shifted / stride + 1;
    low = shifted < size ? 0 : (shifted - size) / stride + 1;
    high = last < out_extent ? last : out_extent;
  }
};

// visit(output element, index within its window, elements of an adaptive window) for each window that holds the element,
// in ascending order.
template <class Windows, class Visit>
__device__ inline void each_window(const LayerShape& s, int n, const Place& in, const Visit& visit) {
  if constexpr (Windows::adaptive) {
    const Span rows = adaptive_span(in.row, s.out.rows, s.in.rows);
    const Span columns = adaptive_span(in.column, s.out.columns, s.in.columns);
    for (int row = rows.begin; row < rows.end; ++row) {
      const Span down = adaptive_span(row, s.in.rows, s.out.rows);
      for (int column = columns.begin; column < columns.end; ++column) {
        const Span across = adaptive_span(column, s.in.columns, s.out.columns);
        visit(pixel_offset(s.out, in.channel, row, column, n) + in.image,
              (in.row - down.begin) * s.kernel_columns + in.column - across.begin,
              (down.end - down.begin) * (across.end - across.begin));
      }
    }
  } else {
    const Holders rows(in.row, s.stride_rows, s.pad_top, s.kernel_rows, s.out.rows);
    const Holders columns(in.column, s.stride_columns, s.pad_left, s.kernel_columns, s.out.columns);
    for (int row = rows.low; row < rows.high; ++row) {
      for (int column = columns.low; column < columns.high; ++column) {
        const int kr = in.row - input_row(s, row, 0), kc = in.column - input_column(s, column, 0);
        visit(pixel_offset(s.out, in.channel, row, column, n) + in.image, kr * s.kernel_columns + kc, 0);
      }
    }
  }
}

// A NaN beats all, of NaNs the last; of equals the first.
template <class Windows>
__global__ void __launch_bounds__(element_threads)
    max_pool_forward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> x, Lanes<float> y,
                            Lanes<std::byte> winners) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.out.size() * n;
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float best = 0;
    int winner = -1;
    each_element<Windows>(s, n, x[lane], Place(s.out, n, at), [&](float value, int index) {
      if (winner < 0 || best < value || value != value) {
        best = value;
        winner = index;
      }
    });
    y[lane][at] = best;
    if (winners.base != nullptr) {
      reinterpret_cast<std::uint16_t*>(winners[lane])[at] = static_cast<std::uint16_t>(winner);
    }
  }
}

template <class Windows>
__global__ void __launch_bounds__(element_threads)
    max_pool_backward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> dy, Lanes<const std::byte> winners,
                             Lanes<float> dx) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.in.size() * n;
  const auto* const winner = reinterpret_cast<const std::uint16_t*>(winners[lane]);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    each_window<Windows>(s, n, Place(s.in, n, at), [&](std::int64_t out, int index, int) {
      sum = sum + (winner[out] == index ? dy[lane][out] : 0.0F);
    });
    dx[lane][at] = sum;
  }
}

// Padding counts as zeros.
template <class Windows>
__global__ void __launch_bounds__(element_threads)
    avg_pool_forward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> x, Lanes<float> y) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.out.size() * n;
  const float size = static_cast<float>(s.kernel_rows * s.kernel_columns);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    const Place out(s.out, n, at);
    each_element<Windows>(s, n, x[lane], out, [&](float value, int) { sum = sum + value; });
    if constexpr (Windows::adaptive) {
      const Span rows = adaptive_span(out.row, s.in.rows, s.out.rows);
      const Span columns = adaptive_span(out.column, s.in.columns, s.out.columns);
      y[lane][at] = sum / static_cast<float>((rows.end - rows.begin) * (columns.end - columns.begin));
    } else {
      y[lane][at] = sum / size;
    }
  }
}

// Windows of one size: what they give back is divided once, after the sum.
template <class Windows>
__global__ void __launch_bounds__(element_threads)
    avg_pool_backward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> dy, Lanes<float> dx) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.in.size() * n;
  const float size = static_cast<float>(s.kernel_rows * s.kernel_columns);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    each_window<Windows>(s, n, Place(s.in, n, at), [&](std::int64_t out, int, int area) {
      sum = sum + (Windows::adaptive ? dy[lane][out] / static_cast<float>(area) : dy[lane][out]);
    });
    dx[lane][at] = Windows::adaptive ? sum : sum / size;
  }
}

// Max pools of tiles with an activation, and perhaps dropout, in front (Fusion): a thread takes a window of `width`
// neighbouring images. What lies between is never written.

// Dropout in front of a pool.
struct Drop {
  bool drops;
  float scale;
  std::uint32_t threshold, layer, step;
  std::uint64_t key;

  __device__ Drop(const LayerCall& call, int lane)
      : drops(call.fusion.dropout && call.training), layer(call.fusion.dropout_layer) {
    const LaneScalars& s = call.scalars[lane];
    const float rate = s.dropout != s.dropout ? call.fusion.rate : s.dropout;
    scale = 1.0F / (1.0F - rate);
    threshold = dropout_threshold(rate);
    step = s.step;
    key = s.key;
  }
  // The draws of element `at` of the layer's input and its three neighbours, where `at` is a multiple of four.
  __device__ PhiloxBlock block(std::int64_t at) const {
    return draw_block(key, Purpose::dropout, layer, step, static_cast<std::uint32_t>(at >> 2));
  }
};

template <int width>
__device__ inline void load(const float* from, float (&to)[width]) {
  if constexpr (width == 4) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    to[0] = four.x;
    to[1] = four.y;
    to[2] = four.z;
    to[3] = four.w;
  } else {
    to[0] = *from;
  }
}
template <int width>
__device__ inline void store(float* to, const float (&values)[width]) {
  if constexpr (width == 4) {
    *reinterpret_cast<float4*>(to) = {values[0], values[1], values[2], values[3]};
  } else {
    *to = values[0];
  }
}

// What the activation and dropout make of the elements at `at`.
template <class Activation, int width>
__device__ inline void prepare(const Drop& drop, std::int64_t at, float (&values)[width]) {
#pragma unroll
  for (int k = 0; k < width; ++k) values[k] = Activation{}.forward(values[k]);
  if (!drop.drops) return;
  const PhiloxBlock drawn = drop.block(at);
#pragma unroll
  for (int k = 0; k < width; ++k) {
    values[k] = drawn.word[width == 4 ? k : static_cast<int>(at & 3)] >= drop.threshold ? values[k] * drop.scale : 0.0F;
  }
}

template <class Activation, int width>
__global__ void __launch_bounds__(element_threads) fused_pool_forward_kernel(LayerCall call) {
  const int lane = element_lane(call.lanes);
  const LayerShape& s = call.shape;
  const int n = call.n;
  const Drop drop(call, lane);
  const float* const x = call.x[lane];
  auto* const winners = call.training ? reinterpret_cast<std::uint16_t*>(call.saved[lane]) : nullptr;
  const std::int64_t count = s.out.size() * n / width;
  for (std::int64_t group = first_element(call.lanes); group < count; group += element_stride(call.lanes)) {
    const std::int64_t at = group * width;
    const Place out(s.out, n, at);
    float best[width] = {};
    int winner[width];
#pragma unroll
    for (int k = 0; k < width; ++k) winner[k] = -1;
    for (int kr = 0; kr < s.kernel_rows; ++kr) {
      for (int kc = 0; kc < s.kernel_columns; ++kc) {
        const std::int64_t from =
            pixel_offset(s.in, out.channel, out.row * s.stride_rows + kr, out.column * s.stride_columns + kc, n) +
            out.image;
        float values[width];
        load(x + from, values);
        prepare<Activation>(drop, from, values);
#pragma unroll
        for (int k = 0; k < width; ++k) {
          if (winner[k] < 0 || best[k] < values[k] || values[k] != values[k]) {
            best[k] = values[k];
            winner[k] = kr * s.kernel_columns + kc;
          }
        }
      }
    }
    store(call.y[lane] + at, best);
    if (winners == nullptr) continue;
#pragma unroll
    for (int k = 0; k < width; ++k) winners[at + k] = static_cast<std::uint16_t>(winner[k]);
  }
}

template <class Activation, int width>
__global__ void __launch_bounds__(element_threads) fused_pool_backward_kernel(LayerCall call) {
  const int lane = element_lane(call.lanes);
  const LayerShape& s = call.shape;
  const int n = call.n;
  const Drop drop(call, lane);
  const auto* const winners = reinterpret_cast<const std::uint16_t*>(call.saved[lane]);
  // Windows, the rows and columns beyond the last of them too.
  const int rows = (s.in.rows + s.kernel_rows - 1) / s.kernel_rows,
            columns = (s.in.columns + s.kernel_columns - 1) / s.kernel_columns;
  const Extent windows{s.in.channels, rows, columns};
  const std::int64_t count = windows.size() * n / width;
  for (std::int64_t group = first_element(call.lanes); group < count; group += element_stride(call.lanes)) {
    const Place out(windows, n, group * width);
    const bool exists = out.row < s.out.rows && out.column < s.out.columns;
    float back[width] = {};
    int winner[width];
#pragma unroll
    for (int k = 0; k < width; ++k) winner[k] = -1;
    if (exists) {
      const std::int64_t at = pixel_offset(s.out, out.channel, out.row, out.column, n) + out.image;
      float y[width], dy[width];
      load(call.y[lane] + at, y);
      load(call.dy[lane] + at, dy);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        winner[k] = winners[at + k];
        // A winner that was dropped is 0, and relu, the one activation with dropout behind, lets nothing through there.
        back[k] = Activation{}.backward(y[k], drop.drops ? dy[k] * drop.scale : dy[k]);
      }
    }
    for (int kr = 0; kr < s.kernel_rows; ++kr) {
      for (int kc = 0; kc < s.kernel_columns; ++kc) {
        const int row = out.row * s.kernel_rows + kr, column = out.column * s.kernel_columns + kc;
        if (row >= s.in.rows || column >= s.in.columns) continue;
        const std::int64_t to = pixel_offset(s.in, out.channel, row, column, n) + out.image;
        float dx[width];
#pragma unroll
        for (int k = 0; k < width; ++k) dx[k] = winner[k] == kr * s.kernel_columns + kc ? back[k] : 0.0F;
        store(call.dx[lane] + to, dx);
      }
    }
  }
}

dim3 out_grid(const LayerCall& call) { return element_grid(call.lanes, call.shape.out.size() * call.n); }
dim3 in_grid(const LayerCall& call) { return element_grid(call.lanes, call.shape.in.size() * call.n); }

// A width of four where images come in fours.
bool images_in_fours(const LayerCall& call) {
  return call.n % 4 == 0 && in_fours(call.x) && in_fours(call.y) && in_fours(call.dy) && in_fours(call.dx);
}

template <class Activation>
void fused_forward(ExecutionContext& context, const LayerCall& call) {
  const std::int64_t count = call.shape.out.size() * call.n;
  if (images_in_fours(call)) {
    CONVSWEEP_LAUNCH((fused_pool_forward_kernel<Activation, 4>), element_grid(call.lanes, count / 4),
                     dim3(element_threads), 0, cast(context).stream, call);
  } else {
    CONVSWEEP_LAUNCH((fused_pool_forward_kernel<Activation, 1>), element_grid(call.lanes, count), dim3(element_threads),
                     0, cast(context).stream, call);
  }
}

template <class Activation>
void fused_backward(ExecutionContext& context, const LayerCall& call) {
  const std::int64_t count = call.shape.out.size() * call.n;
  if (images_in_fours(call)) {
    CONVSWEEP_LAUNCH((fused_pool_backward_kernel<Activation, 4>), element_grid(call.lanes, count / 4),
                     dim3(element_threads), 0, cast(context).stream, call);
  } else {
    CONVSWEEP_LAUNCH((fused_pool_backward_kernel<Activation, 1>), element_grid(call.lanes, count),
                     dim3(element_threads), 0, cast(context).stream, call);
  }
}

template <class Windows>
void max_forward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(max_pool_forward_kernel<Windows>, out_grid(call), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.shape, call.n, call.x, call.y, call.training ? call.saved : Lanes<std::byte>{});
}

template <class Windows>
void max_backward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(max_pool_backward_kernel<Windows>, in_grid(call), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.shape, call.n, call.dy, Lanes<const std::byte>(call.saved), call.dx);
}

template <class Windows>
void avg_forward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(avg_pool_forward_kernel<Windows>, out_grid(call), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.shape, call.n, call.x, call.y);
}

template <class Windows>
void avg_backward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(avg_pool_backward_kernel<Windows>, in_grid(call), dim3(element_threads), 0, cast(context).stream,
                   call.lanes, call.shape, call.n, call.dy, call.dx);
}

bool sized_apart(const LayerShape& s) { return is_adaptive(s.op) && !divides_evenly(s); }

void max_forward(ExecutionContext& context, const LayerCall& call) {
  if (call.fusion.pool()) {
    return call.fusion.activation == Op::tanh ? fused_forward<Tanh>(context, call) : fused_forward<Relu>(context, call);
  }
  if (sized_apart(call.shape)) return max_forward<Adaptive>(context, call);
  max_forward<Fixed>(context, call);
}

void max_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  if (call.fusion.pool()) {
    return call.fusion.activation == Op::tanh ? fused_backward<Tanh>(context, call)
                                              : fused_backward<Relu>(context, call);
  }
  if (sized_apart(call.shape)) return max_backward<Adaptive>(context, call);
  max_backward<Fixed>(context, call);
}

void avg_forward(ExecutionContext& context, const LayerCall& call) {
  if (sized_apart(call.shape)) return avg_forward<Adaptive>(context, call);
  avg_forward<Fixed>(context, call);
}

void avg_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  if (sized_apart(call.shape)) return avg_backward<Adaptive>(context, call);
  avg_backward<Fixed>(context, call);
}

}  // namespace

#define CONVSWEEP_POOL(name, kind)                                                                           \
  void name##_forward(ExecutionContext& context, const LayerCall& call) { kind##_forward(context, call); }   \
  void name##_backward(ExecutionContext& context, const LayerCall& call) { kind##_backward(context, call); } \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_POOL(max_pool2d, max)
CONVSWEEP_POOL(adaptive_max_pool2d, max)
CONVSWEEP_POOL(global_max_pool2d, max)
CONVSWEEP_POOL(avg_pool2d, avg)
CONVSWEEP_POOL(adaptive_avg_pool2d, avg)
CONVSWEEP_POOL(global_avg_pool2d, avg)
#undef CONVSWEEP_POOL

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
