// The tables that ops.def expands to.
#include "convsweep/backend.h"
#include "convsweep/error.h"

namespace convsweep {

const char* op_name(Op op) {
  switch (op) {
#define CONVSWEEP_NAME_CASE(name) \
  case Op::name:                  \
    return #name;
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) CONVSWEEP_NAME_CASE(name)
#define CONVSWEEP_JOIN_OP(name) CONVSWEEP_NAME_CASE(name)
#define CONVSWEEP_LOSS_OP(name) CONVSWEEP_NAME_CASE(name)
#define CONVSWEEP_UPDATE_OP(name, state) CONVSWEEP_NAME_CASE(name)
#include "ops/ops.def"
#undef CONVSWEEP_NAME_CASE
  }
  return "unknown";
}

const LayerKernels& OpTable::layer(Op op) const {
  switch (op) {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  case Op::name:                                                               \
    return name;
#include "ops/ops.def"
    default:
      throw Error(ErrorCode::ENGINE_INTERNAL, "", std::string(op_name(op)) + " is not a layer");
  }
}

UpdateKernel OpTable::update(Op op) const {
  switch (op) {
#define CONVSWEEP_UPDATE_OP(name, state) \
  case Op::name:                         \
    return name;
#include "ops/ops.def"
    default:
      throw Error(ErrorCode::ENGINE_INTERNAL, "", std::string(op_name(op)) + " is not an update");
  }
}

}  // namespace convsweep
