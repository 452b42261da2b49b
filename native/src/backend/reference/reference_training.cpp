// The loss, the updates and batches out of the data set by their definitions. Updates have PyTorch's forms.
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "backend/reference/reference_backend.h"
#include "convsweep/rng.h"
#include "ops/index.h"

namespace convsweep::reference {

template <class Real>
void softmax_cross_entropy(const BasicLossCall<Real>& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const auto smoothing = static_cast<double>(call.scalars[lane].label_smoothing);
    LaneMetrics metrics;
    for (int n = 0; n < call.n; ++n) {
      const auto logit = [&](int c) { return static_cast<double>(call.logits[lane][std::int64_t{c} * call.n + n]); };
      const int label = call.labels[lane][n];
      int best = 0;
      bool nan = false;
      for (int c = 0; c < call.classes; ++c) {
        if (logit(c) > logit(best)) best = c;
        nan = nan || std::isnan(logit(c));
      }
      const double most = logit(best);
      double total = 0;
      for (int c = 0; c < call.classes; ++c) total += std::exp(logit(c) - most);
      const double log_total = most + std::log(total);
      for (int c = 0; c < call.classes; ++c) {
        const double target = smoothing / call.classes + (c == label ? 1 - smoothing : 0);
        if (target != 0) metrics.loss_sum += target * (log_total - logit(c));
        if (call.dlogits) {
          call.dlogits[lane][std::int64_t{c} * call.n + n] =
              static_cast<Real>((std::exp(logit(c) - log_total) - target) / call.n);
        }
      }
      metrics.correct += !nan && best == label ? 1 : 0;
    }
    call.metrics[lane] = metrics;
  }
}

// The loss of a logit z against a target t: -t log sigmoid(z) - (1 - t) log(1 - sigmoid(z)).
template <class Real>
void binary_cross_entropy(const BasicLossCall<Real>& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const auto smoothing = static_cast<double>(call.scalars[lane].label_smoothing);
    LaneMetrics metrics;
    for (int n = 0; n < call.n; ++n) {
      const auto z = static_cast<double>(call.logits[lane][n]);
      const bool one =
          call.target == BinaryTarget::labels ? call.labels[lane][n] == 1 : call.target != BinaryTarget::zero;
      double target = one ? 1 : 0;
      if (call.target == BinaryTarget::labels) target = target * (1 - smoothing) + smoothing / 2;
      if (call.target == BinaryTarget::smoothed_one) target = 1 - smoothing;
      metrics.loss_sum += std::fmax(z, 0.0) - z * target + std::log1p(std::exp(-std::fabs(z)));
      metrics.correct += !std::isnan(z) && (z > 0) == one ? 1 : 0;
      if (std::isnan(z)) metrics.loss_sum = z;
      if (call.dlogits) call.dlogits[lane][n] = static_cast<Real>((1 / (1 + std::exp(-z)) - target) / call.n);
    }
    call.metrics[lane] = metrics;
  }
}

namespace {

// Calls change(scalars, gradient with L2, weight, state0, state1) for every parameter of every lane. The states are
// those that ops.def says the update has.
template <class Real, class Change>
void each_parameter(const BasicUpdateCall<Real>& call, Change change) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const UpdateScalars& s = call.scalars[lane].update;
    for (std::int64_t i = 0; i < call.count; ++i) {
      auto weight = static_cast<double>(call.weight[lane][i]);
      double state0 = call.state0 ? static_cast<double>(call.state0[lane][i]) : 0;
      double state1 = call.state1 ? static_cast<double>(call.state1[lane][i]) : 0;
      const double l2 = i < call.decayed ? static_cast<double>(s.l2) : 0;
      const double gradient = static_cast<double>(call.gradient[lane][i]) + l2 * weight;
      if (i < call.decayed) weight *= static_cast<double>(s.keep);
      change(s, gradient, weight, state0, state1);
      call.weight[lane][i] = static_cast<Real>(weight);
      if (call.state0) call.state0[lane][i] = static_cast<Real>(state0);
      if (call.state1) call.state1[lane][i] = static_cast<Real>(state1);
    }
  }
}

double wide(float value) { return static_cast<double>(value); }

}  // namespace

template <class Real>
void update_sgd(const BasicUpdateCall<Real>& call) {
  each_parameter(call,
                 [](const UpdateScalars& s, double g, double& w, double&, double&) { w -= wide(s.learning_rate) * g; });
}

template <class Real>
void update_momentum(const BasicUpdateCall<Real>& call) {
  each_parameter(call, [&](const UpdateScalars& s, double g, double& w, double& velocity, double&) {
    velocity = wide(s.momentum) * velocity + g;
    w -= wide(s.learning_rate) * (call.nesterov ? g + wide(s.momentum) * velocity : velocity);
  });
}

template <class Real>
void update_rmsprop(const BasicUpdateCall<Real>& call) {
  each_parameter(call, [](const UpdateScalars& s, double g, double& w, double& square, double&) {
    square = wide(s.rho) * square + (1 - wide(s.rho)) * g * g;
    w -= wide(s.learning_rate) * g / (std::sqrt(square) + wide(s.epsilon));
  });
}

template <class Real>
void update_adam(const BasicUpdateCall<Real>& call) {
  each_parameter(call, [](const UpdateScalars& s, double g, double& w, double& m, double& v) {
    m = wide(s.beta1) * m + (1 - wide(s.beta1)) * g;
    v = wide(s.beta2) * v + (1 - wide(s.beta2)) * g * g;
    w -= wide(s.step_size) * m / (std::sqrt(v) * wide(s.inverse_sqrt_correction2) + wide(s.epsilon));
  });
}

namespace {

// One image of the batch, flipped and cropped: pixel(c, r, q) as gathered.
template <class Pixel>
void recolour(const GatherCall& call, const ColourDraw& draw, const Pixel& pixel) {
  const Extent& e = call.image;
  const auto clamp = [](double v) { return std::fmin(std::fmax(v, 0.0), 1.0); };
  const auto rate = [&](int c) { return 255 * wide(call.scale[c]); };
  const auto grey = [&](const std::vector<double>& v) {
    if (e.channels == 3) return 0.299 * v[0] + 0.587 * v[1] + 0.114 * v[2];
    return std::accumulate(v.begin(), v.end(), 0.0) / e.channels;
  };
  const auto brightened = [&](int r, int q) {
    std::vector<double> v;
    for (int c = 0; c < e.channels; ++c) {
      v.push_back(clamp((wide(pixel(c, r, q)) - wide(call.shift[c])) / rate(c) * wide(draw.brightness)));
    }
    return v;
  };
  double mean = 0;
  for (int r = 0; r < e.rows; ++r) {
    for (int q = 0; q < e.columns; ++q) mean += grey(brightened(r, q)) / static_cast<double>(e.plane());
  }
  for (int r = 0; r < e.rows; ++r) {
    for (int q = 0; q < e.columns; ++q) {
      std::vector<double> v = brightened(r, q);
      for (double& u : v) u = clamp(mean + wide(draw.contrast) * (u - mean));
      const double own = grey(v);
      for (int c = 0; c < e.channels; ++c) {
        const double u = clamp(own + wide(draw.saturation) * (v[static_cast<std::size_t>(c)] - own));
        pixel(c, r, q) = static_cast<float>(u * rate(c) + wide(call.shift[c]));
      }
    }
  }
}

}  // namespace

void gather(const GatherCall& call) {
  const Extent& e = call.image;
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const LaneScalars& s = call.scalars[lane];
    const AugmentScalars augment = call.augment ? s.augment : AugmentScalars{};
    const auto padding = static_cast<int>(augment.crop_padding), side = static_cast<int>(augment.cutout);
    const Permutation order(s.key, s.epoch, call.size);
    for (int n = 0; n < call.n; ++n) {
      const std::uint32_t position = s.position + static_cast<std::uint32_t>(n);
      const std::uint32_t image = call.first_image + (call.shuffle ? order(position) : position);
      const AugmentDraw draw = augment_draw(s.key, s.epoch, position, augment.flip, augment.crop_padding);
      for (int p = 0; p < call.positions; ++p) {
        call.out_labels[lane][p * call.n + n] = call.labels[std::int64_t{image} * call.positions + p];
      }
      const std::uint8_t* bytes = call.images + std::int64_t{image} * e.size();
      const auto pixel = [&](int c, int r, int q) -> float& {
        return call.x[lane][pixel_offset(e, c, r, q, call.n) + n];
      };
      for (int c = 0; c < e.channels; ++c) {
        for (int r = 0; r < e.rows; ++r) {
          for (int q = 0; q < e.columns; ++q) {
            const int row = r + static_cast<int>(draw.top) - padding;
            const int column = (draw.flip ? e.columns - 1 - q : q) + static_cast<int>(draw.left) - padding;
            pixel(c, r, q) = inside(e, row, column)
                                 ? std::fma(static_cast<float>(bytes[pixel_offset(e, c, row, column, 1)]),
                                            call.scale[c], call.shift[c])
                                 : 0.0F;
          }
        }
      }
      if (augment.colours()) {
        recolour(call, colour_draw(s.key, s.epoch, position, augment.brightness, augment.contrast, augment.saturation),
                 pixel);
      }
      if (side == 0) continue;
      const CutoutDraw centre = cutout_draw(s.key, s.epoch, position, static_cast<std::uint32_t>(e.rows),
                                            static_cast<std::uint32_t>(e.columns));
      const int top = static_cast<int>(centre.row) - side / 2, left = static_cast<int>(centre.column) - side / 2;
      for (int r = top; r < top + side; ++r) {
        for (int q = left; q < left + side; ++q) {
          for (int c = 0; c < e.channels && inside(e, r, q); ++c) pixel(c, r, q) = 0;
        }
      }
    }
  }
}

#define CONVSWEEP_INSTANTIATE(Real)                                \
  template void softmax_cross_entropy(const BasicLossCall<Real>&); \
  template void binary_cross_entropy(const BasicLossCall<Real>&);  \
  template void update_sgd(const BasicUpdateCall<Real>&);          \
  template void update_momentum(const BasicUpdateCall<Real>&);     \
  template void update_rmsprop(const BasicUpdateCall<Real>&);      \
  template void update_adam(const BasicUpdateCall<Real>&);
CONVSWEEP_INSTANTIATE(float)
CONVSWEEP_INSTANTIATE(double)

}  // namespace convsweep::reference
