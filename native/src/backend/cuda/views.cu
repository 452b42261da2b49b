// Layers that only lay out their input anew: flatten and reshape, which are the same memory, and rows_as_sequence.
#include "backend/cuda/elements.h"
#include "backend/cuda/kernels.h"

namespace convsweep::CONVSWEEP_CUDA_NAMESPACE {
namespace {

// Between an image's pixels [channel][row][column][image] and its sequence's features [channel, column][row][image].
// Threads go along the sequence.
template <bool to_sequence>
__global__ void __launch_bounds__(element_threads)
    rows_as_sequence_kernel(LaneSet lanes, Extent image, int n, Lanes<const float> from, Lanes<float> to) {
  const int lane = element_lane(lanes);
  const std::int64_t count = image.size() * n;
  for (std::int64_t at = first_element(lanes); at < count; at += element_stride(lanes)) {
    const std::int64_t step = at / n, feature = step / image.rows;
    const std::int64_t row = step % image.rows, channel = feature / image.columns, column = feature % image.columns;
    const std::int64_t pixel = ((channel * image.rows + row) * image.columns + column) * n + at % n;
    if constexpr (to_sequence) {
      to[lane][at] = from[lane][pixel];
    } else {
      to[lane][pixel] = from[lane][at];
    }
  }
}

template <bool to_sequence>
void lay_out(ExecutionContext& context, const LayerCall& call, Lanes<const float> from, Lanes<float> to) {
  CONVSWEEP_LAUNCH(rows_as_sequence_kernel<to_sequence>, element_grid(call.lanes, call.shape.in.size() * call.n),
                   dim3(element_threads), 0, cast(context).stream, call.lanes, call.shape.in, call.n, from, to);
}

}  // namespace

void copy_unless_same(ExecutionContext& context, LaneSet lanes, Lanes<const float> from, Lanes<float> to,
                      std::int64_t count) {
  if (from.base == to.base) return;
  JoinCall call;
  call.count = count;
  call.lanes = lanes;
  call.a = from;
  call.y = to;
  copy(context, call);
}

#define CONVSWEEP_VIEW(name)                                                                             \
  void name##_forward(ExecutionContext& context, const LayerCall& call) {                                \
    copy_unless_same(context, call.lanes, call.x, call.y, call.shape.in.size() * call.n);                \
  }                                                                                                      \
  void name##_backward(ExecutionContext& context, const LayerCall& call) {                               \
    if (call.dx) copy_unless_same(context, call.lanes, call.dy, call.dx, call.shape.in.size() * call.n); \
  }                                                                                                      \
  std::size_t name##_scratch_bytes(const LayerShape&, int, int) { return 0; }

CONVSWEEP_VIEW(flatten)
CONVSWEEP_VIEW(reshape)
#undef CONVSWEEP_VIEW

void rows_as_sequence_forward(ExecutionContext& context, const LayerCall& call) {
  lay_out<true>(context, call, call.x, call.y);
}

void rows_as_sequence_backward(ExecutionContext& context, const LayerCall& call) {
  if (call.dx) lay_out<false>(context, call, call.dy, call.dx);
}

std::size_t rows_as_sequence_scratch_bytes(const LayerShape&, int, int) { return 0; }

}  // namespace convsweep::CONVSWEEP_CUDA_NAMESPACE
