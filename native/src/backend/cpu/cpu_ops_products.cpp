// linear, conv2d and conv_transpose2d on the CPU. The last is the second with its directions exchanged.
#include <algorithm>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/cpu_scratch.h"
#include "ops/index.h"

namespace convsweep::cpu {
namespace {

LinearShape linear_shape(const LayerShape& s, int n, bool relu = false) {
  return {n, s.in.channels, s.out.channels, relu};
}

ConvShape conv_shape(const LayerShape& s, int n, bool relu = false) {
  ConvShape c;
  c.relu = relu;
  c.batch = n;
  c.groups = s.groups;
  c.in_channels = s.in.channels;
  c.in_height = s.in.rows;
  c.in_width = s.in.columns;
  c.out_channels = s.out.channels;
  c.out_height = s.out.rows;
  c.out_width = s.out.columns;
  c.kernel_h = s.kernel_rows;
  c.kernel_w = s.kernel_columns;
  c.stride_h = s.stride_rows;
  c.stride_w = s.stride_columns;
  c.pad_top = s.pad_top;
  c.pad_left = s.pad_left;
  return c;
}

// The bias's gradient, and the gradient that goes on into the products: dy, or what a relu behind them leaves of it.
const float* sum_gradient(CpuContext& cpu, const LayerCall& call, int lane) {
  const int channels = call.shape.out.channels;
  const std::int64_t run = call.shape.out.plane() * call.n;
  const float* dy = call.dy[lane];
  float* dbias = call.dbias ? call.dbias[lane] : nullptr;
  if (call.fusion.relu_behind) {
    cpu.kernels.relu_bias_gradient(cpu.parallel, channels, run, call.y[lane], dy, call.dcut[lane], dbias);
    return call.dcut[lane];
  }
  if (dbias != nullptr) cpu.kernels.bias_gradient(cpu.parallel, channels, run, dy, dbias);
  return dy;
}

}  // namespace

void linear_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.linear_forward(cpu.parallel, linear_shape(call.shape, call.n, call.fusion.relu_behind), call.x[lane], call.weight[lane],
                               call.bias ? call.bias[lane] : nullptr, call.y[lane], call.scratch[lane]);
  }
}

void linear_backward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const LinearShape shape = linear_shape(call.shape, call.n);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float* dy = sum_gradient(cpu, call, lane);
    void* scratch = call.scratch[lane];
    if (call.dweight) {
      cpu.kernels.linear_backward_weights(cpu.parallel, shape, call.x[lane], dy, call.dweight[lane], scratch);
    }
    if (call.dx) cpu.kernels.linear_backward_data(cpu.parallel, shape, dy, call.weight[lane], call.dx[lane], scratch);
  }
}

std::size_t linear_scratch_bytes(const LayerShape& shape, int n, int width) {
  return most_scratch([&](const KernelTable& k) { return k.linear_scratch_bytes(linear_shape(shape, n), width); });
}

void conv2d_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.conv2d_forward(cpu.parallel, conv_shape(call.shape, call.n, call.fusion.relu_behind), call.x[lane], call.weight[lane],
                               call.bias ? call.bias[lane] : nullptr, call.y[lane], call.scratch[lane]);
  }
}

void conv2d_backward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const ConvShape shape = conv_shape(call.shape, call.n);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float* dy = sum_gradient(cpu, call, lane);
    void* scratch = call.scratch[lane];
    if (call.dweight) {
      cpu.kernels.conv2d_backward_weights(cpu.parallel, shape, call.x[lane], dy, call.dweight[lane], scratch);
    }
    if (call.dx) cpu.kernels.conv2d_backward_data(cpu.parallel, shape, dy, call.weight[lane], call.dx[lane], scratch);
  }
}

std::size_t conv2d_scratch_bytes(const LayerShape& shape, int n, int width) {
  return most_scratch([&](const KernelTable& k) { return k.conv2d_scratch_bytes(conv_shape(shape, n), width); });
}

void conv_transpose2d_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const Extent& out = call.shape.out;
  const ConvShape shape = conv_shape(transposed(call.shape), call.n);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    float* y = call.y[lane];
    cpu.kernels.conv2d_backward_data(cpu.parallel, shape, call.x[lane], call.weight[lane], y, call.scratch[lane]);
    if (call.bias) cpu.kernels.add_bias(cpu.parallel, out.channels, out.plane() * call.n, call.bias[lane], y);
  }
}

void conv_transpose2d_backward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const Extent& out = call.shape.out;
  const ConvShape shape = conv_shape(transposed(call.shape), call.n);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float* dy = call.dy[lane];
    void* scratch = call.scratch[lane];
    if (call.dweight) {
      cpu.kernels.conv2d_backward_weights(cpu.parallel, shape, dy, call.x[lane], call.dweight[lane], scratch);
    }
    if (call.dbias) {
      cpu.kernels.bias_gradient(cpu.parallel, out.channels, out.plane() * call.n, dy, call.dbias[lane]);
    }
    if (call.dx) {
      cpu.kernels.conv2d_forward(cpu.parallel, shape, dy, call.weight[lane], nullptr, call.dx[lane], scratch);
    }
  }
}

std::size_t conv_transpose2d_scratch_bytes(const LayerShape& shape, int n, int width) {
  return conv2d_scratch_bytes(transposed(shape), n, width);
}

}  // namespace convsweep::cpu
