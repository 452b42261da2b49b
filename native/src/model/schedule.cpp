#include "model/schedule.h"

#include <algorithm>
#include <cmath>

#include "model/portable_math.h"

namespace convsweep {
namespace {

double one_cycle(const Schedule& s, double step, double steps) {
  const double warm = s.warmup * steps;
  const double start = 1 / s.div, end = 1 / s.final_div;
  if (step < warm) return start + (1 - start) * (step / warm);
  const double rest = steps - warm;
  return end + (1 - end) * (1 + cos_pi(rest > 0 ? (step - warm) / rest : 1.0)) / 2;
}

}  // namespace

double schedule_factor(const Schedule& s, int epochs, int epoch, int batch, int batches) {
  switch (s.kind) {
    case ScheduleKind::constant:
      return 1;
    case ScheduleKind::step:
      return power(s.factor, static_cast<std::uint64_t>(epoch / s.every));
    case ScheduleKind::exponential:
      return power(s.factor, static_cast<std::uint64_t>(epoch));
    case ScheduleKind::cosine: {
      const double t = epoch + static_cast<double>(batch) / batches;
      return s.floor + (1 - s.floor) * (1 + cos_pi(t / epochs)) / 2;
    }
    case ScheduleKind::list:
      return s.factors[std::min(static_cast<std::size_t>(epoch), s.factors.size() - 1)];
    case ScheduleKind::one_cycle:
      return one_cycle(s, static_cast<double>(epoch) * batches + batch, static_cast<double>(epochs) * batches);
  }
  return 1;
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
