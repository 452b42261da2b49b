// Activations, dropout, flatten and joins by their definitions.
#include <cmath>

#include "backend/reference/reference_backend.h"
#include "convsweep/rng.h"

namespace convsweep::reference {
namespace {

template <class Real, class Function>
void map_forward(const BasicLayerCall<Real>& call, Function function) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t i = 0; i < call.shape.in.size() * call.n; ++i) {
      call.y[lane][i] = static_cast<Real>(function(static_cast<double>(call.x[lane][i]), lane, i));
    }
  }
}

// function(y, lane, i) is the factor from dy to dx.
template <class Real, class Function>
void map_backward(const BasicLayerCall<Real>& call, Function function) {
  if (!call.dx) return;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t i = 0; i < call.shape.in.size() * call.n; ++i) {
      // Only operations whose backward needs y have it.
      const double y = call.y ? static_cast<double>(call.y[lane][i]) : 0.0;
      call.dx[lane][i] = static_cast<Real>(function(y, lane, i) * static_cast<double>(call.dy[lane][i]));
    }
  }
}

// 0, or 1 / (1 - rate).
template <class Real>
double dropout_factor(const BasicLayerCall<Real>& call, int lane, std::int64_t element) {
  const LaneScalars& s = call.scalars[lane];
  const float rate = std::isnan(s.dropout) ? call.shape.rate : s.dropout;
  const bool keeps =
      dropout_keeps(s.key, call.shape.layer, s.step, static_cast<std::uint64_t>(element), dropout_threshold(rate));
  return keeps ? 1.0 / (1.0 - static_cast<double>(rate)) : 0.0;
}

}  // namespace

template <class Real>
void relu_forward(const BasicLayerCall<Real>& call) {
  map_forward(call, [](double x, int, std::int64_t) { return x < 0 ? 0.0 : x; });
}
template <class Real>
void relu_backward(const BasicLayerCall<Real>& call) {
  map_backward(call, [](double y, int, std::int64_t) { return y > 0 ? 1.0 : 0.0; });
}

template <class Real>
void leaky_relu_forward(const BasicLayerCall<Real>& call) {
  map_forward(call, [&](double x, int, std::int64_t) { return x > 0 ? x : static_cast<double>(call.shape.slope) * x; });
}
template <class Real>
void leaky_relu_backward(const BasicLayerCall<Real>& call) {
  map_backward(call, [&](double y, int, std::int64_t) { return y > 0 ? 1.0 : static_cast<double>(call.shape.slope); });
}

template <class Real>
void tanh_forward(const BasicLayerCall<Real>& call) {
  map_forward(call, [](double x, int, std::int64_t) { return std::tanh(x); });
}
template <class Real>
void tanh_backward(const BasicLayerCall<Real>& call) {
  map_backward(call, [](double y, int, std::int64_t) { return 1 - y * y; });
}

template <class Real>
void sigmoid_forward(const BasicLayerCall<Real>& call) {
  map_forward(call, [](double x, int, std::int64_t) { return 1 / (1 + std::exp(-x)); });
}
template <class Real>
void sigmoid_backward(const BasicLayerCall<Real>& call) {
  map_backward(call, [](double y, int, std::int64_t) { return y * (1 - y); });
}

template <class Real>
void dropout_forward(const BasicLayerCall<Real>& call) {
  map_forward(call, [&](double x, int lane, std::int64_t i) {
    if (!call.training) return x;
    const double factor = dropout_factor(call, lane, i);
    return factor == 0 ? 0.0 : x * factor;
  });
}
template <class Real>
void dropout_backward(const BasicLayerCall<Real>& call) {
  map_backward(call, [&](double, int lane, std::int64_t i) { return dropout_factor(call, lane, i); });
}

// A flat feature is an element in (channel, row, column) order, so another shape is the same memory.
#define CONVSWEEP_VIEW(name)                                           \
  template <class Real>                                                \
  void name##_forward(const BasicLayerCall<Real>& call) {              \
    map_forward(call, [](double x, int, std::int64_t) { return x; });  \
  }                                                                    \
  template <class Real>                                                \
  void name##_backward(const BasicLayerCall<Real>& call) {             \
    map_backward(call, [](double, int, std::int64_t) { return 1.0; }); \
  }
CONVSWEEP_VIEW(flatten)
CONVSWEEP_VIEW(reshape)
#undef CONVSWEEP_VIEW

template <class Real>
void add(const BasicJoinCall<Real>& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t i = 0; i < call.count; ++i) call.y[lane][i] = call.a[lane][i] + call.b[lane][i];
  }
}
template <class Real>
void copy(const BasicJoinCall<Real>& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    for (std::int64_t i = 0; i < call.count; ++i) call.y[lane][i] = call.a[lane][i];
  }
}

#define CONVSWEEP_INSTANTIATE(Real)                               \
  template void add(const BasicJoinCall<Real>&);                  \
  template void copy(const BasicJoinCall<Real>&);                 \
  template void relu_forward(const BasicLayerCall<Real>&);        \
  template void relu_backward(const BasicLayerCall<Real>&);       \
  template void leaky_relu_forward(const BasicLayerCall<Real>&);  \
  template void leaky_relu_backward(const BasicLayerCall<Real>&); \
  template void tanh_forward(const BasicLayerCall<Real>&);        \
  template void tanh_backward(const BasicLayerCall<Real>&);       \
  template void sigmoid_forward(const BasicLayerCall<Real>&);     \
  template void sigmoid_backward(const BasicLayerCall<Real>&);    \
  template void dropout_forward(const BasicLayerCall<Real>&);     \
  template void dropout_backward(const BasicLayerCall<Real>&);    \
  template void flatten_forward(const BasicLayerCall<Real>&);     \
  template void flatten_backward(const BasicLayerCall<Real>&);    \
  template void reshape_forward(const BasicLayerCall<Real>&);     \
  template void reshape_backward(const BasicLayerCall<Real>&);
CONVSWEEP_INSTANTIATE(float)
CONVSWEEP_INSTANTIATE(double)

}  // namespace convsweep::reference
