#include "model/schedule.h"

#include <algorithm>
#include <cmath>

#include "model/portable_math.h"

namespace convsweep {
namespace {

double one_cycle(const Schedule& s, double warmup, double step, double steps) {
  const double warm = warmup * steps;
  const double start = 1 / s.div, end = 1 / s.final_div;
  if (step < warm) return start + (1 - start) * (step / warm);
  const double rest = steps - warm;
  return end + (1 - end) * (1 + cos_pi(rest > 0 ? (step - warm) / rest : 1.0)) / 2;
}

}  // namespace

double value_or(const Hyperparameters& values, Hyper which, double otherwise) {
  const double value = values[static_cast<std::size_t>(which)];
  return std::isnan(value) ? otherwise : value;
}

double schedule_factor(const Schedule& s, const Hyperparameters& values, int epochs, int epoch, int batch,
                       int batches) {
  const double base = value_or(values, Hyper::schedule_factor, s.factor);
  switch (s.kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::step:
      return power(base, static_cast<std::uint64_t>(epoch / s.every));
    case ScheduleKind::exponential:
      return power(base, static_cast<std::uint64_t>(epoch));
    case ScheduleKind::cosine: {
      const double t = epoch + static_cast<double>(batch) / batches;
      const double floor = value_or(values, Hyper::schedule_floor, s.floor);
      return floor + (1 - floor) * (1 + cos_pi(t / epochs)) / 2;
    }
    case ScheduleKind::list:
      if (s.cycle) return s.factors[static_cast<std::size_t>(epoch) % s.factors.size()];
      return s.factors[std::min(static_cast<std::size_t>(epoch), s.factors.size() - 1)];
    case ScheduleKind::one_cycle:
      return one_cycle(s, value_or(values, Hyper::schedule_warmup, s.warmup),
                       static_cast<double>(epoch) * batches + batch, static_cast<double>(epochs) * batches);
  }
  return 1;
}

AugmentScalars augment_scalars(const Augmentation& recipe, const Hyperparameters& values) {
  const auto real = [&](Hyper which, double otherwise) {
    return static_cast<float>(value_or(values, which, otherwise));
  };
  const auto whole = [&](Hyper which, int otherwise) {
    return static_cast<std::uint32_t>(value_or(values, which, otherwise));
  };
  AugmentScalars a;
  a.flip = real(Hyper::flip, recipe.flip);
  a.crop_padding = whole(Hyper::crop_padding, recipe.crop_padding);
  a.cutout = whole(Hyper::cutout, recipe.cutout);
  a.brightness = real(Hyper::brightness, recipe.brightness);
  a.contrast = real(Hyper::contrast, recipe.contrast);
  a.saturation = real(Hyper::saturation, recipe.saturation);
  return a;
}

UpdateScalars update_scalars(const Hyperparameters& values, bool decoupled_decay, double learning_rate,
                             std::uint32_t step) {
  const auto value = [&values](Hyper h) { return values[static_cast<std::size_t>(h)]; };
  UpdateScalars u;
  u.learning_rate = static_cast<float>(learning_rate);
  if (decoupled_decay) {
    u.keep = static_cast<float>(1 - learning_rate * value(Hyper::l2));
  } else {
    u.l2 = static_cast<float>(value(Hyper::l2));
  }
  u.momentum = static_cast<float>(value(Hyper::momentum));
  u.rho = static_cast<float>(value(Hyper::rho));
  u.epsilon = static_cast<float>(value(Hyper::epsilon));
  u.beta1 = static_cast<float>(value(Hyper::beta1));
  u.beta2 = static_cast<float>(value(Hyper::beta2));
  const std::uint64_t t = std::uint64_t{step} + 1;
  u.step_size = static_cast<float>(learning_rate / (1 - power(value(Hyper::beta1), t)));
  u.inverse_sqrt_correction2 = static_cast<float>(1 / std::sqrt(1 - power(value(Hyper::beta2), t)));
  return u;
}

}  // namespace convsweep
