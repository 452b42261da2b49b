// Recurrent layers, embedding and rows as a sequence by their definitions. Backward of the recurrent layers computes the
// forward pass again, so that `saved` is not needed.
#include <cmath>
#include <vector>

#include "backend/reference/reference_backend.h"
#include "ops/index.h"

namespace convsweep::reference {
namespace {

using Row = std::vector<double>;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// The cells of one image, step by step.
struct Cells {
  // Gates after their activation, c, h: [step][...].
  std::vector<Row> gates, c, h;
};

// Element of [features][1][steps][n].
template <class Real>
double at(const Real* sequence, const Extent& e, int feature, int step, int image, int n) {
  return static_cast<double>(sequence[pixel_offset(e, feature, 0, step, n) + image]);
}

template <class Real>
Cells run_cells(const BasicLayerCall<Real>& call, int lane, int image) {
  const LayerShape& s = call.shape;
  const int in = s.in.channels, units = s.out.channels, rows = recurrent_gates(s.op) * units;
  const Real* weight = call.weight[lane];
  const Real* recurrent = weight + std::int64_t{rows} * in;
  const auto u = static_cast<std::size_t>(units);
  Cells cells;
  Row h(u, 0.0), c(u, 0.0);
  for (int t = 0; t < s.in.columns; ++t) {
    Row gates(static_cast<std::size_t>(rows));
    for (int r = 0; r < rows; ++r) {
      double sum = static_cast<double>(call.bias[lane][r]) + static_cast<double>(call.bias[lane][rows + r]);
      for (int f = 0; f < in; ++f) {
        sum += static_cast<double>(weight[std::int64_t{r} * in + f]) * at(call.x[lane], s.in, f, t, image, call.n);
      }
      for (int k = 0; k < units; ++k) {
        sum += static_cast<double>(recurrent[std::int64_t{r} * units + k]) * h[static_cast<std::size_t>(k)];
      }
      const bool squash = s.op == Op::rnn || r / units == 2;
      gates[static_cast<std::size_t>(r)] = squash ? std::tanh(sum) : sigmoid(sum);
    }
    for (std::size_t k = 0; k < u; ++k) {
      if (s.op == Op::rnn) {
        h[k] = gates[k];
      } else {
        c[k] = gates[u + k] * c[k] + gates[k] * gates[2 * u + k];
        h[k] = gates[3 * u + k] * std::tanh(c[k]);
      }
    }
    cells.gates.push_back(gates);
    cells.c.push_back(c);
    cells.h.push_back(h);
  }
  return cells;
}

// Gradients of the gates before their activation at one step; moves dc to the step before.
Row gate_gradients(const LayerShape& s, const Cells& cells, std::size_t t, const Row& dh, Row& dc) {
  const auto u = static_cast<std::size_t>(s.out.channels);
  const Row& g = cells.gates[t];
  Row d(g.size());
  for (std::size_t k = 0; k < u; ++k) {
    if (s.op == Op::rnn) {
      d[k] = dh[k] * (1 - g[k] * g[k]);
      continue;
    }
    const double i = g[k], f = g[u + k], c = g[2 * u + k], o = g[3 * u + k];
    const double squashed = std::tanh(cells.c[t][k]), old = t == 0 ? 0 : cells.c[t - 1][k];
    const double inner = dc[k] + dh[k] * o * (1 - squashed * squashed);
    d[k] = inner * c * i * (1 - i);
    d[u + k] = inner * old * f * (1 - f);
    d[2 * u + k] = inner * i * (1 - c * c);
    d[3 * u + k] = dh[k] * squashed * o * (1 - o);
    dc[k] = inner * f;
  }
  return d;
}

template <class Real>
void recurrent_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    for (int image = 0; image < call.n; ++image) {
      const Cells cells = run_cells(call, lane, image);
      for (int q = 0; q < s.out.columns; ++q) {
        const Row& h = s.every_step ? cells.h[static_cast<std::size_t>(q)] : cells.h.back();
        for (int k = 0; k < s.out.channels; ++k) {
          call.y[lane][pixel_offset(s.out, k, 0, q, call.n) + image] =
              static_cast<Real>(h[static_cast<std::size_t>(k)]);
        }
      }
    }
  }
}

template <class Real>
void recurrent_backward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const int in = s.in.channels, units = s.out.channels, rows = recurrent_gates(s.op) * units;
  const auto u = static_cast<std::size_t>(units);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const Real* weight = call.weight[lane];
    const Real* recurrent = weight + std::int64_t{rows} * in;
    Row dweight(static_cast<std::size_t>(std::int64_t{rows} * (in + units)), 0.0);
    Row dbias(static_cast<std::size_t>(rows), 0.0);
    const std::int64_t behind = std::int64_t{rows} * in;
    for (int image = 0; image < call.n; ++image) {
      const Cells cells = run_cells(call, lane, image);
      Row carried(u, 0.0), dc(u, 0.0);
      for (int t = s.in.columns - 1; t >= 0; --t) {
        const auto step = static_cast<std::size_t>(t);
        Row dh = carried;
        if (s.every_step || t + 1 == s.in.columns) {
          for (std::size_t k = 0; k < u; ++k) {
            dh[k] += at(call.dy[lane], s.out, static_cast<int>(k), s.every_step ? t : 0, image, call.n);
          }
        }
        const Row d = gate_gradients(s, cells, step, dh, dc);
        carried.assign(u, 0.0);
        Row dx(static_cast<std::size_t>(in), 0.0);
        for (int r = 0; r < rows; ++r) {
          const double g = d[static_cast<std::size_t>(r)];
          dbias[static_cast<std::size_t>(r)] += g;
          for (int f = 0; f < in; ++f) {
            const std::int64_t w = std::int64_t{r} * in + f;
            dweight[static_cast<std::size_t>(w)] += g * at(call.x[lane], s.in, f, t, image, call.n);
            dx[static_cast<std::size_t>(f)] += g * static_cast<double>(weight[w]);
          }
          for (int k = 0; k < units; ++k) {
            const std::int64_t w = std::int64_t{r} * units + k;
            const auto unit = static_cast<std::size_t>(k);
            if (t > 0) dweight[static_cast<std::size_t>(behind + w)] += g * cells.h[step - 1][unit];
            carried[unit] += g * static_cast<double>(recurrent[w]);
          }
        }
        if (!call.dx) continue;
        for (int f = 0; f < in; ++f) {
          call.dx[lane][pixel_offset(s.in, f, 0, t, call.n) + image] =
              static_cast<Real>(dx[static_cast<std::size_t>(f)]);
        }
      }
    }
    for (std::size_t k = 0; k < dweight.size(); ++k) call.dweight[lane][k] = static_cast<Real>(dweight[k]);
    for (std::size_t k = 0; k < dbias.size(); ++k) {
      call.dbias[lane][k] = call.dbias[lane][dbias.size() + k] = static_cast<Real>(dbias[k]);
    }
  }
}

}  // namespace

#define CONVSWEEP_RECURRENT(name)                          \
  template <class Real>                                    \
  void name##_forward(const BasicLayerCall<Real>& call) {  \
    recurrent_forward(call);                               \
  }                                                        \
  template <class Real>                                    \
  void name##_backward(const BasicLayerCall<Real>& call) { \
    recurrent_backward(call);                              \
  }
CONVSWEEP_RECURRENT(rnn)
CONVSWEEP_RECURRENT(lstm)
#undef CONVSWEEP_RECURRENT

template <class Real>
void embedding_forward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const std::int64_t positions = s.in.size() * call.n;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t row = embedding_row(static_cast<float>(call.x[lane][p]), s.vocabulary);
      for (int d = 0; d < s.out.channels; ++d) {
        call.y[lane][d * positions + p] = call.weight[lane][row * s.out.channels + d];
      }
    }
  }
}

template <class Real>
void embedding_backward(const BasicLayerCall<Real>& call) {
  const LayerShape& s = call.shape;
  const std::int64_t positions = s.in.size() * call.n;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    Row sum(static_cast<std::size_t>(std::int64_t{s.vocabulary} * s.out.channels), 0.0);
    for (std::int64_t p = 0; p < positions; ++p) {
      const std::int64_t row = embedding_row(static_cast<float>(call.x[lane][p]), s.vocabulary);
      for (int d = 0; d < s.out.channels; ++d) {
        sum[static_cast<std::size_t>(row * s.out.channels + d)] +=
            static_cast<double>(call.dy[lane][d * positions + p]);
      }
      if (call.dx) call.dx[lane][p] = 0;
    }
    for (std::size_t k = 0; k < sum.size(); ++k) call.dweight[lane][k] = static_cast<Real>(sum[k]);
  }
}

namespace {

template <class Visit>
void each_pixel(const LayerShape& s, int n, Visit visit) {
  for (int c = 0; c < s.in.channels; ++c) {
    for (int r = 0; r < s.in.rows; ++r) {
      for (int q = 0; q < s.in.columns; ++q) {
        for (int image = 0; image < n; ++image) {
          visit(pixel_offset(s.in, c, r, q, n) + image, pixel_offset(s.out, c * s.in.columns + q, 0, r, n) + image);
        }
      }
    }
  }
}

}  // namespace

template <class Real>
void rows_as_sequence_forward(const BasicLayerCall<Real>& call) {
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    each_pixel(call.shape, call.n, [&](std::int64_t image, std::int64_t sequence) {
      call.y[lane][sequence] = call.x[lane][image];
    });
  }
}

template <class Real>
void rows_as_sequence_backward(const BasicLayerCall<Real>& call) {
  if (!call.dx) return;
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    each_pixel(call.shape, call.n, [&](std::int64_t image, std::int64_t sequence) {
      call.dx[lane][image] = call.dy[lane][sequence];
    });
  }
}

#define CONVSWEEP_BOTH(name, Real)                           \
  template void name##_forward(const BasicLayerCall<Real>&); \
  template void name##_backward(const BasicLayerCall<Real>&);
#define CONVSWEEP_INSTANTIATE(Real)      \
  CONVSWEEP_BOTH(rows_as_sequence, Real) \
  CONVSWEEP_BOTH(embedding, Real)        \
  CONVSWEEP_BOTH(rnn, Real)              \
  CONVSWEEP_BOTH(lstm, Real)
CONVSWEEP_INSTANTIATE(float)
CONVSWEEP_INSTANTIATE(double)

}  // namespace convsweep::reference
