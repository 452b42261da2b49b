// Max and average pools over any window, stride and padding; the global ones are those whose window is the image. Bytes
// as on the CPU.
//
// Forward, a thread an output element, goes over its window row by row. Backward gathers: a thread an input element
// adds up what the windows that hold it give back, in ascending order, so overlapping windows need no atomics.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"
#include "ops/index.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// An element of [channel][row][column][image].
struct Place {
  int channel, row, column, image;
  __device__ Place(const Extent& e, int n, std::int64_t at) {
    image = static_cast<int>(at % n);
    const std::int64_t pixel = at / n;
    column = static_cast<int>(pixel % e.columns);
    row = static_cast<int>(pixel / e.columns % e.rows);
    channel = static_cast<int>(pixel / e.plane());
  }
};

// visit(value, index within the window) for each element of the window that is not padding.
template <class Visit>
__device__ inline void each_element(const LayerShape& s, int n, const float* x, const Place& out, const Visit& visit) {
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

// Windows [low, high) along an axis that hold input position `in`.
struct Holders {
  int low, high;
  __device__ Holders(int in, int stride, int pad, int size, int out_extent) {
    const int shifted = in + pad, last = shifted / stride + 1;
    low = shifted < size ? 0 : (shifted - size) / stride + 1;
    high = last < out_extent ? last : out_extent;
  }
};

// visit(output element, index within its window) for each window that holds the element, in ascending order.
template <class Visit>
__device__ inline void each_window(const LayerShape& s, int n, const Place& in, const Visit& visit) {
  const Holders rows(in.row, s.stride_rows, s.pad_top, s.kernel_rows, s.out.rows);
  const Holders columns(in.column, s.stride_columns, s.pad_left, s.kernel_columns, s.out.columns);
  for (int row = rows.low; row < rows.high; ++row) {
    for (int column = columns.low; column < columns.high; ++column) {
      const int kr = in.row - input_row(s, row, 0), kc = in.column - input_column(s, column, 0);
      visit(pixel_offset(s.out, in.channel, row, column, n) + in.image, kr * s.kernel_columns + kc);
    }
  }
}

// A NaN beats all, of NaNs the last; of equals the first.
__global__ void __launch_bounds__(element_threads)
    max_pool_forward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> x, Lanes<float> y,
                            Lanes<std::byte> winners) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.out.size() * n;
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float best = 0;
    int winner = -1;
    each_element(s, n, x[lane], Place(s.out, n, at), [&](float value, int index) {
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

__global__ void __launch_bounds__(element_threads)
    max_pool_backward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> dy, Lanes<const std::byte> winners,
                             Lanes<float> dx) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.in.size() * n;
  const auto* const winner = reinterpret_cast<const std::uint16_t*>(winners[lane]);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    each_window(s, n, Place(s.in, n, at),
                [&](std::int64_t out, int index) { sum = sum + (winner[out] == index ? dy[lane][out] : 0.0F); });
    dx[lane][at] = sum;
  }
}

// Padding counts as zeros.
__global__ void __launch_bounds__(element_threads)
    avg_pool_forward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> x, Lanes<float> y) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.out.size() * n;
  const float size = static_cast<float>(s.kernel_rows * s.kernel_columns);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    each_element(s, n, x[lane], Place(s.out, n, at), [&](float value, int) { sum = sum + value; });
    y[lane][at] = sum / size;
  }
}

__global__ void __launch_bounds__(element_threads)
    avg_pool_backward_kernel(LaneSet lanes, LayerShape s, int n, Lanes<const float> dy, Lanes<float> dx) {
  const int lane = element_lane(lanes);
  const std::int64_t count = s.in.size() * n;
  const float size = static_cast<float>(s.kernel_rows * s.kernel_columns);
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    float sum = 0;
    each_window(s, n, Place(s.in, n, at), [&](std::int64_t out, int) { sum = sum + dy[lane][out]; });
    dx[lane][at] = sum / size;
  }
}

dim3 out_grid(const LayerCall& call) { return element_grid(call.lanes, call.shape.out.size() * call.n); }
dim3 in_grid(const LayerCall& call) { return element_grid(call.lanes, call.shape.in.size() * call.n); }

void max_forward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(max_pool_forward_kernel, out_grid(call), dim3(element_threads), 0, cast(context).stream, call.lanes,
                   call.shape, call.n, call.x, call.y, call.training ? call.saved : Lanes<std::byte>{});
}

void max_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  CONVSWEEP_LAUNCH(max_pool_backward_kernel, in_grid(call), dim3(element_threads), 0, cast(context).stream, call.lanes,
                   call.shape, call.n, call.dy, Lanes<const std::byte>(call.saved), call.dx);
}

void avg_forward(ExecutionContext& context, const LayerCall& call) {
  CONVSWEEP_LAUNCH(avg_pool_forward_kernel, out_grid(call), dim3(element_threads), 0, cast(context).stream, call.lanes,
                   call.shape, call.n, call.x, call.y);
}

void avg_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  CONVSWEEP_LAUNCH(avg_pool_backward_kernel, in_grid(call), dim3(element_threads), 0, cast(context).stream, call.lanes,
                   call.shape, call.n, call.dy, call.dx);
}

}  // namespace

#define CONVSWEEP_POOL(name, kind)                                                                           \
  void name##_forward(ExecutionContext& context, const LayerCall& call) { kind##_forward(context, call); }   \
  void name##_backward(ExecutionContext& context, const LayerCall& call) { kind##_backward(context, call); } \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_POOL(max_pool2d, max)
CONVSWEEP_POOL(global_max_pool2d, max)
CONVSWEEP_POOL(avg_pool2d, avg)
CONVSWEEP_POOL(global_avg_pool2d, avg)
#undef CONVSWEEP_POOL

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
