// Cases of every operation, for every backend.
//
// Guarantees: each operation of ops.def has at least one case (test_ops.cpp fails otherwise). Tolerances belong to the
// case: a bound on the largest difference to the double-precision reference, relative to the largest value.
#pragma once

#include <string>
#include <vector>

#include "ops/shape.h"
#include "support.h"

namespace convsweep::test {

struct LayerCase {
  std::string name;
  LayerSpec spec;
  Extent in;
  int n = 1;
  // Float against the reference; sums of a few hundred products of numbers around 1.
  double tolerance = 2e-6;
};

const std::vector<LayerCase>& layer_cases();

// Memory and call of one case. The tensors a case has no use for are empty.
template <class Real>
struct LayerRun {
  explicit LayerRun(const LayerCase& which);

  // A call over lane 0 of these tensors.
  BasicLayerCall<Real> call(bool training);
  void check_guards() const;

  LayerShape shape;
  int n;
  LaneScalars scalars;
  Guarded<Real> x, y, dy, dx, weight, bias, dweight, dbias, mean, var;
  Guarded<std::byte> saved;
};

}  // namespace convsweep::test
