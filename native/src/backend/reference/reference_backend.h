// The reference backend: every operation as its definition says, in plain loops.
//
// Guarantees: sums are taken in double whatever the tensors hold; no attention is paid to speed. The templates are
// instantiated for float tensors (the backend, comparable with the others) and for double ones (gradients against
// central differences).
#pragma once

#include <memory>

#include "convsweep/backend.h"

namespace convsweep {

std::unique_ptr<Backend> make_reference_backend();

namespace reference {

#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  template <class Real>                                                        \
  void name##_forward(const BasicLayerCall<Real>& call);                       \
  template <class Real>                                                        \
  void name##_backward(const BasicLayerCall<Real>& call);
#define CONVSWEEP_LOSS_OP(name) \
  template <class Real>         \
  void name(const BasicLossCall<Real>& call);
#define CONVSWEEP_UPDATE_OP(name, state) \
  template <class Real>                  \
  void update_##name(const BasicUpdateCall<Real>& call);
#include "ops/ops.def"
template <class Real>
void add(const BasicJoinCall<Real>& call);
template <class Real>
void copy(const BasicJoinCall<Real>& call);
void gather(const GatherCall& call);
void matmul(const MatmulCall& call);
void shortest_paths(ShortestPathsCall& call);

// By name of the operation, for tests.
template <class Real>
void layer_forward(const BasicLayerCall<Real>& call);
template <class Real>
void layer_backward(const BasicLayerCall<Real>& call);

}  // namespace reference
}  // namespace convsweep
