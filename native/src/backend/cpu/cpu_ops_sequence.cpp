// Sequences on the CPU: recurrent layers, embedding, and an image's rows as steps.
#include <cstring>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/cpu_scratch.h"
#include "ops/index.h"

namespace convsweep::cpu {
namespace {

RecurrentShape recurrent_shape(const LayerShape& s, int n) {
  RecurrentShape r;
  r.cell = s.op == Op::lstm ? RecurrentShape::Cell::lstm : RecurrentShape::Cell::tanh;
  r.batch = n;
  r.steps = s.in.columns;
  r.in_features = s.in.channels;
  r.units = s.out.channels;
  r.every_step = s.every_step;
  return r;
}

// body(i) for i in [0, count), on the context's threads.
template <class Body>
void for_each_index(CpuContext& cpu, int count, Body body) {
  cpu.parallel.for_each(
      count, [](void* context, int task, int) { (*static_cast<Body*>(context))(task); }, &body);
}

}  // namespace

#define CONVSWEEP_RECURRENT(name)                                                                                   \
  void name##_forward(ExecutionContext& context, const LayerCall& call) {                                           \
    CpuContext& cpu = cast(context);                                                                                \
    const RecurrentShape shape = recurrent_shape(call.shape, call.n);                                               \
    for (int i = 0; i < call.lanes.count; ++i) {                                                                    \
      const int lane = call.lanes[i];                                                                               \
      auto* saved = call.training ? reinterpret_cast<float*>(call.saved[lane]) : nullptr;                           \
      cpu.kernels.recurrent_forward(cpu.parallel, shape, call.x[lane], call.weight[lane], call.bias[lane],          \
                                    call.y[lane], saved, call.scratch[lane]);                                       \
    }                                                                                                               \
  }                                                                                                                 \
  void name##_backward(ExecutionContext& context, const LayerCall& call) {                                          \
    CpuContext& cpu = cast(context);                                                                                \
    const RecurrentShape shape = recurrent_shape(call.shape, call.n);                                               \
    for (int i = 0; i < call.lanes.count; ++i) {                                                                    \
      const int lane = call.lanes[i];                                                                               \
      cpu.kernels.recurrent_backward(cpu.parallel, shape, call.x[lane], call.dy[lane], call.weight[lane],           \
                                     call.dx ? call.dx[lane] : nullptr, call.dweight[lane], call.dbias[lane],       \
                                     reinterpret_cast<float*>(call.saved[lane]), call.scratch[lane]);               \
    }                                                                                                               \
  }                                                                                                                 \
  std::size_t name##_scratch_bytes(const LayerShape& shape, int n, int width) {                                     \
    return most_scratch(                                                                                            \
        [&](const KernelTable& k) { return k.recurrent_scratch_bytes(recurrent_shape(shape, n), width); });         \
  }

CONVSWEEP_RECURRENT(rnn)
CONVSWEEP_RECURRENT(lstm)
#undef CONVSWEEP_RECURRENT

void embedding_forward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape& s = call.shape;
  const std::int64_t positions = s.in.size() * call.n;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float *ids = call.x[lane], *weight = call.weight[lane];
    for_each_index(cast(context), s.out.channels, [&](int d) {
      float* const y = call.y[lane] + d * positions;
      for (std::int64_t p = 0; p < positions; ++p) {
        y[p] = weight[std::int64_t{embedding_row(ids[p], s.vocabulary)} * s.out.channels + d];
      }
    });
  }
}

// Positions in ascending order.
void embedding_backward(ExecutionContext& context, const LayerCall& call) {
  const LayerShape& s = call.shape;
  const std::int64_t positions = s.in.size() * call.n;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float* ids = call.x[lane];
    float* const dweight = call.dweight[lane];
    for_each_index(cast(context), s.out.channels, [&](int d) {
      const float* dy = call.dy[lane] + d * positions;
      for (std::int64_t row = 0; row < s.vocabulary; ++row) dweight[row * s.out.channels + d] = 0.0F;
      for (std::int64_t p = 0; p < positions; ++p) {
        dweight[std::int64_t{embedding_row(ids[p], s.vocabulary)} * s.out.channels + d] += dy[p];
      }
    });
    // Nothing depends smoothly on a number of a character.
    if (call.dx) std::memset(call.dx[lane], 0, static_cast<std::size_t>(positions) * sizeof(float));
  }
}

std::size_t embedding_scratch_bytes(const LayerShape&, int, int) { return 0; }

namespace {

// copy(offset in the image, offset in the sequence) for every pixel's run of images.
template <class Copy>
void each_pixel(const LayerShape& s, int n, Copy copy) {
  for (int c = 0; c < s.in.channels; ++c) {
    for (int q = 0; q < s.in.columns; ++q) {
      for (int r = 0; r < s.in.rows; ++r) {
        copy(pixel_offset(s.in, c, r, q, n), pixel_offset(s.out, c * s.in.columns + q, 0, r, n));
      }
    }
  }
}

}  // namespace

void rows_as_sequence_forward(ExecutionContext&, const LayerCall& call) {
  const std::size_t run = static_cast<std::size_t>(call.n) * sizeof(float);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    each_pixel(call.shape, call.n, [&](std::int64_t image, std::int64_t sequence) {
      std::memcpy(call.y[lane] + sequence, call.x[lane] + image, run);
    });
  }
}

void rows_as_sequence_backward(ExecutionContext&, const LayerCall& call) {
  if (!call.dx) return;
  const std::size_t run = static_cast<std::size_t>(call.n) * sizeof(float);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    each_pixel(call.shape, call.n, [&](std::int64_t image, std::int64_t sequence) {
      std::memcpy(call.dx[lane] + image, call.dy[lane] + sequence, run);
    });
  }
}

std::size_t rows_as_sequence_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::cpu
