// Activations, dropout, flatten, reshape and joins on the CPU.
#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_context.h"
#include "convsweep/rng.h"

namespace convsweep::cpu {
namespace {

std::int64_t count_of(const LayerCall& call) { return call.shape.in.size() * call.n; }

template <class Kernel>
void forward(ExecutionContext& context, const LayerCall& call, Kernel kernel) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    kernel(cpu, call.x[lane], call.y[lane]);
  }
}

template <class Kernel>
void backward(ExecutionContext& context, const LayerCall& call, Kernel kernel) {
  if (!call.dx) return;
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    kernel(cpu, call.y[lane], call.dy[lane], call.dx[lane]);
  }
}

void copy_unless_same(const float* from, float* to, std::int64_t count) {
  if (from != to) std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(float));
}

}  // namespace

DropoutArgs dropout_args(const LaneScalars& scalars, float layer_rate, std::uint32_t layer) {
  const float rate = std::isnan(scalars.dropout) ? layer_rate : scalars.dropout;
  DropoutArgs args;
  // The counter of draw_block (convsweep/rng.h).
  args.stream = {scalars.key, scalars.step, layer, static_cast<std::uint32_t>(Purpose::dropout)};
  args.drop_below = dropout_threshold(rate);
  args.scale = 1.0F / (1.0F - rate);
  return args;
}

#define CONVSWEEP_ELEMENTWISE(name)                                                            \
  void name##_forward(ExecutionContext& context, const LayerCall& call) {                      \
    forward(context, call, [&](CpuContext& cpu, const float* x, float* y) {                    \
      cpu.kernels.name##_forward(cpu.parallel, count_of(call), x, y);                          \
    });                                                                                        \
  }                                                                                            \
  void name##_backward(ExecutionContext& context, const LayerCall& call) {                     \
    backward(context, call, [&](CpuContext& cpu, const float* y, const float* dy, float* dx) { \
      cpu.kernels.name##_backward(cpu.parallel, count_of(call), y, dy, dx);                    \
    });                                                                                        \
  }                                                                                            \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_ELEMENTWISE(relu)
CONVSWEEP_ELEMENTWISE(tanh)
CONVSWEEP_ELEMENTWISE(sigmoid)
#undef CONVSWEEP_ELEMENTWISE

void leaky_relu_forward(ExecutionContext& context, const LayerCall& call) {
  forward(context, call, [&](CpuContext& cpu, const float* x, float* y) {
    cpu.kernels.leaky_relu_forward(cpu.parallel, count_of(call), call.shape.slope, x, y);
  });
}

void leaky_relu_backward(ExecutionContext& context, const LayerCall& call) {
  backward(context, call, [&](CpuContext& cpu, const float* y, const float* dy, float* dx) {
    cpu.kernels.leaky_relu_backward(cpu.parallel, count_of(call), call.shape.slope, y, dy, dx);
  });
}

std::size_t leaky_relu_scratch_bytes(const LayerShape&, int, int) { return 0; }

void dropout_forward(ExecutionContext& context, const LayerCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    if (call.training) {
      cpu.kernels.dropout(cpu.parallel, count_of(call), dropout_args(call.scalars[lane], call.shape.rate, call.shape.layer), call.x[lane], call.y[lane]);
    } else {
      copy_unless_same(call.x[lane], call.y[lane], count_of(call));
    }
  }
}

void dropout_backward(ExecutionContext& context, const LayerCall& call) {
  if (!call.dx) return;
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.dropout(cpu.parallel, count_of(call), dropout_args(call.scalars[lane], call.shape.rate, call.shape.layer), call.dy[lane], call.dx[lane]);
  }
}

std::size_t dropout_scratch_bytes(const LayerShape&, int, int) { return 0; }

#define CONVSWEEP_VIEW(name)                                          \
  void name##_forward(ExecutionContext&, const LayerCall& call) {     \
    for (int i = 0; i < call.lanes.count; ++i) {                      \
      const int lane = call.lanes[i];                                 \
      copy_unless_same(call.x[lane], call.y[lane], count_of(call));   \
    }                                                                 \
  }                                                                   \
  void name##_backward(ExecutionContext&, const LayerCall& call) {    \
    if (!call.dx) return;                                             \
    for (int i = 0; i < call.lanes.count; ++i) {                      \
      const int lane = call.lanes[i];                                 \
      copy_unless_same(call.dy[lane], call.dx[lane], count_of(call)); \
    }                                                                 \
  }                                                                   \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_VIEW(flatten)
CONVSWEEP_VIEW(reshape)
#undef CONVSWEEP_VIEW

void add(ExecutionContext& context, const JoinCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    cpu.kernels.add(cpu.parallel, call.count, call.a[lane], call.b[lane], call.y[lane]);
  }
}

void copy(ExecutionContext&, const JoinCall& call) {
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    copy_unless_same(call.a[lane], call.y[lane], call.count);
  }
}

}  // namespace convsweep::cpu
