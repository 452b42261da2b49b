// Names and ranges of lane hyperparameters; the same stand in native/hyperparameters.ts, a test compares them.
#include <cmath>

#include "convsweep/recipe.h"
#include "model/json.h"

namespace convsweep {
namespace {

struct Range {
  const char* name;
  double low, high;
  bool open_low, open_high;
  // May be NaN for "as the recipe says".
  bool optional = false;
  bool whole = false;
};

constexpr Range ranges[hyper_count] = {
    {"learning_rate", 0, 1e6, false, false},
    {"l2", 0, 1e6, false, false},
    {"momentum", 0, 1, false, true},
    {"rho", 0, 1, false, true},
    {"beta1", 0, 1, false, true},
    {"beta2", 0, 1, false, true},
    {"epsilon", 0, 1, true, false},
    {"dropout", 0, 1, false, true, true},
    {"label_smoothing", 0, 1, false, true},
    {"schedule_factor", 0, 1e6, false, false, true},
    {"schedule_floor", 0, 1, false, false, true},
    {"schedule_warmup", 0, 1, true, true, true},
    {"flip", 0, 1, false, false, true},
    {"crop_padding", 0, 4096, false, false, true, true},
    {"cutout", 0, 4096, false, false, true, true},
    {"brightness", 0, 1, false, false, true},
    {"contrast", 0, 1, false, false, true},
    {"saturation", 0, 1, false, false, true},
};

}  // namespace

const char* hyper_name(int index) { return ranges[index].name; }

void check_hyperparameter(int index, double value, ErrorCode code, const std::string& path) {
  const Range& r = ranges[index];
  if (r.optional && std::isnan(value)) return;
  const bool above = r.open_low ? value > r.low : value >= r.low;
  // In float, too: a rate that rounds to 1 would divide by zero.
  const bool below = r.open_high ? static_cast<float>(value) < static_cast<float>(r.high) : value <= r.high;
  if (above && below && (!r.whole || value == std::floor(value))) return;
  throw unexpected(code, path,
                   std::string(r.whole ? "whole number " : "number ") + (r.open_low ? "> " : ">= ") +
                       canonical(Json{r.low}) + " and " + (r.open_high ? "< " : "<= ") + canonical(Json{r.high}),
                   std::isnan(value)   ? "NaN"
                   : std::isinf(value) ? "infinity"
                                       : canonical(Json{value}));
}

void check_hyperparameters(const Hyperparameters& values, ErrorCode code, const std::string& path) {
  for (int i = 0; i < hyper_count; ++i) {
    check_hyperparameter(i, values[static_cast<std::size_t>(i)], code, path + "[" + std::to_string(i) + "]");
  }
}

}  // namespace convsweep
