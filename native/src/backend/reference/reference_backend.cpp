#include "backend/reference/reference_backend.h"

#include <cmath>

#include "backend/host_inputs.h"
#include "backend/host_memory.h"
#include "convsweep/error.h"

namespace convsweep {
namespace reference {

template <class Real>
void layer_forward(const BasicLayerCall<Real>& call) {
  switch (call.shape.op) {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  case Op::name:                                                               \
    return name##_forward<Real>(call);
#include "ops/ops.def"
    default:
      throw Error(ErrorCode::ENGINE_INTERNAL, "", std::string(op_name(call.shape.op)) + " is not a layer");
  }
}

template <class Real>
void layer_backward(const BasicLayerCall<Real>& call) {
  switch (call.shape.op) {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  case Op::name:                                                               \
    return name##_backward<Real>(call);
#include "ops/ops.def"
    default:
      throw Error(ErrorCode::ENGINE_INTERNAL, "", std::string(op_name(call.shape.op)) + " is not a layer");
  }
}

template void layer_forward<float>(const BasicLayerCall<float>&);
template void layer_forward<double>(const BasicLayerCall<double>&);
template void layer_backward<float>(const BasicLayerCall<float>&);
template void layer_backward<double>(const BasicLayerCall<double>&);

namespace {

std::size_t no_scratch(const LayerShape&, int, int) { return 0; }

void check_finite(ExecutionContext&, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite) {
  for (int i = 0; i < lanes.count; ++i) {
    std::int32_t all = 1;
    for (std::int64_t j = 0; j < count; ++j) all = std::isfinite(values[lanes[i]][j]) ? all : 0;
    finite[lanes[i]] = all;
  }
}

constexpr OpTable table = {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place)            \
  .name = {[](ExecutionContext&, const LayerCall& call) { name##_forward<float>(call); }, \
           [](ExecutionContext&, const LayerCall& call) { name##_backward<float>(call); }, no_scratch},
#define CONVSWEEP_LOSS_OP(name) .name = [](ExecutionContext&, const LossCall& call) { reference::name<float>(call); },
#define CONVSWEEP_UPDATE_OP(name, state) \
  .name = [](ExecutionContext&, const UpdateCall& call) { update_##name<float>(call); },
#include "ops/ops.def"
    .add = [](ExecutionContext&, const JoinCall& call) { reference::add(call); },
    .copy = [](ExecutionContext&, const JoinCall& call) { reference::copy(call); },
    .gather = [](ExecutionContext&, const GatherCall& call) { reference::gather(call); },
    .draw_normal = host_draw_normal,
    .one_hot = host_one_hot,
    .check_finite = check_finite,
    .matmul_scratch_bytes = [](const MatmulShape&, int) { return std::size_t{0}; },
    .matmul = [](ExecutionContext&, const MatmulCall& call) { reference::matmul(call); },
    .shortest_paths_scratch_bytes = [](int, bool, int) { return std::size_t{0}; },
    .shortest_paths = [](ExecutionContext&, ShortestPathsCall& call) { reference::shortest_paths(call); }};
CONVSWEEP_ASSERT_COMPLETE(table, "the reference backend lacks an operation of ops.def");

class ReferenceContext final : public ExecutionContext {};

class ReferenceBackend final : public HostBackend {
 public:
  std::string name() const override { return "reference"; }
  const OpTable& ops() const override { return table; }
  std::unique_ptr<ExecutionContext> context(ThreadPool*) override { return std::make_unique<ReferenceContext>(); }
};

}  // namespace
}  // namespace reference

std::unique_ptr<Backend> make_reference_backend() { return std::make_unique<reference::ReferenceBackend>(); }

}  // namespace convsweep
