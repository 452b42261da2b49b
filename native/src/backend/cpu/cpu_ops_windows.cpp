// Pools and batch_norm on the CPU.
#include "backend/cpu/cpu_context.h"
#include "backend/cpu/cpu_scratch.h"
#include "ops/index.h"

namespace convsweep::cpu {
namespace {

// A global pool is a pool whose one window is the whole plane, and an adaptive one that divides its input evenly an
// ordinary one; infer_layer has set kernel and stride so.
PoolShape pool_shape(const LayerShape& s, int n) {
  PoolShape p;
  p.batch = n;
  p.channels = s.in.channels;
  p.in_height = s.in.rows;
  p.in_width = s.in.columns;
  p.out_height = s.out.rows;
  p.out_width = s.out.columns;
  p.size_h = s.kernel_rows;
  p.size_w = s.kernel_columns;
  p.stride_h = s.stride_rows;
  p.stride_w = s.stride_columns;
  p.pad_top = s.pad_top;
  p.pad_left = s.pad_left;
  p.adaptive = is_adaptive(s.op) && !divides_evenly(s);
  return p;
}

BatchNormShape norm_shape(const LayerCall& call) {
  return {call.shape.in.channels, call.shape.in.plane() * call.n, call.fusion.relu_behind};
}

PoolPrologue prologue(const LayerCall& call, int lane) {
  const Fusion& f = call.fusion;
  PoolPrologue before;
  before.activation = f.activation == Op::tanh ? Activation::tanh : Activation::relu;
  before.dropout = f.dropout && call.training;
  if (before.dropout) before.drop = dropout_args(call.scalars[lane], f.rate, f.dropout_layer);
  return before;
}

void max_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    auto* winners = call.training ? reinterpret_cast<std::uint16_t*>(call.saved[lane]) : nullptr;
    const PoolShape shape = pool_shape(call.shape, call.n);
    if (call.fusion.pool()) {
      cpu.kernels.max_pool2d_fused_forward(cpu.parallel, shape, prologue(call, lane), call.x[lane], call.y[lane], winners,
                                           call.scratch[lane]);
    } else {
      cpu.kernels.max_pool2d_forward(cpu.parallel, shape, call.x[lane], call.y[lane], winners);
    }
  }
}

void max_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const PoolShape shape = pool_shape(call.shape, call.n);
    const auto* winners = reinterpret_cast<const std::uint16_t*>(call.saved[lane]);
    if (call.fusion.pool()) {
      cpu.kernels.max_pool2d_fused_backward(cpu.parallel, shape, prologue(call, lane), call.y[lane], call.dy[lane],
                                            winners, call.dx[lane]);
    } else {
      cpu.kernels.max_pool2d_backward(cpu.parallel, shape, call.dy[lane], winners, call.dx[lane]);
    }
  }
}

void average_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.avg_pool2d_forward(cpu.parallel, pool_shape(call.shape, call.n), call.x[lane], call.y[lane]);
  }
}

void average_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.avg_pool2d_backward(cpu.parallel, pool_shape(call.shape, call.n), call.dy[lane], call.dx[lane]);
  }
}

}  // namespace

void max_pool2d_forward(ExecutionContext& context, const LayerCall& call) { max_forward(context, call); }
void max_pool2d_backward(ExecutionContext& context, const LayerCall& call) { max_backward(context, call); }
std::size_t max_pool2d_scratch_bytes(const LayerShape& shape, int n, int width) {
  // Enough for a fused one, whether it is or not.
  return most_scratch([&](const KernelTable& k) { return k.max_pool2d_fused_scratch_bytes(pool_shape(shape, n), width); });
}
void adaptive_max_pool2d_forward(ExecutionContext& context, const LayerCall& call) { max_forward(context, call); }
void adaptive_max_pool2d_backward(ExecutionContext& context, const LayerCall& call) { max_backward(context, call); }
std::size_t adaptive_max_pool2d_scratch_bytes(const LayerShape&, int, int) { return 0; }
void global_max_pool2d_forward(ExecutionContext& context, const LayerCall& call) { max_forward(context, call); }
void global_max_pool2d_backward(ExecutionContext& context, const LayerCall& call) { max_backward(context, call); }
std::size_t global_max_pool2d_scratch_bytes(const LayerShape&, int, int) { return 0; }

void avg_pool2d_forward(ExecutionContext& context, const LayerCall& call) { average_forward(context, call); }
void avg_pool2d_backward(ExecutionContext& context, const LayerCall& call) { average_backward(context, call); }
std::size_t avg_pool2d_scratch_bytes(const LayerShape&, int, int) { return 0; }
void adaptive_avg_pool2d_forward(ExecutionContext& context, const LayerCall& call) { average_forward(context, call); }
void adaptive_avg_pool2d_backward(ExecutionContext& context, const LayerCall& call) {
  average_backward(context, call);
}
std::size_t adaptive_avg_pool2d_scratch_bytes(const LayerShape&, int, int) { return 0; }
void global_avg_pool2d_forward(ExecutionContext& context, const LayerCall& call) { average_forward(context, call); }
void global_avg_pool2d_backward(ExecutionContext& context, const LayerCall& call) { average_backward(context, call); }
std::size_t global_avg_pool2d_scratch_bytes(const LayerShape&, int, int) { return 0; }

void batch_norm_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const BatchNormShape shape = norm_shape(call);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    if (call.training) {
      auto* mean = reinterpret_cast<float*>(call.saved[lane]);
      cpu.kernels.batch_norm_train(cpu.parallel, shape, call.shape.momentum, call.shape.epsilon, call.x[lane],
                                   call.weight[lane], call.bias[lane], call.y[lane], mean, mean + shape.channels,
                                   call.running_mean[lane], call.running_var[lane]);
    } else {
      cpu.kernels.batch_norm_eval(cpu.parallel, shape, call.shape.epsilon, call.x[lane], call.weight[lane],
                                  call.bias[lane], call.running_mean[lane], call.running_var[lane], call.y[lane]);
    }
  }
}

void batch_norm_backward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  const BatchNormShape shape = norm_shape(call);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const auto* mean = reinterpret_cast<const float*>(call.saved[lane]);
    cpu.kernels.batch_norm_backward(cpu.parallel, shape, call.x[lane], call.dy[lane], call.weight[lane],
                                    call.bias[lane], mean, mean + shape.channels, call.dx ? call.dx[lane] : nullptr,
                                    call.dweight[lane], call.dbias[lane]);
  }
}

std::size_t batch_norm_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::cpu
