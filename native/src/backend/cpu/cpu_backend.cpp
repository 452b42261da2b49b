#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cpu_context.h"
#include "backend/host_inputs.h"
#include "backend/host_memory.h"

namespace convsweep {
namespace cpu {
namespace {

constexpr OpTable table = {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  .name = {name##_forward, name##_backward, name##_scratch_bytes},
#define CONVSWEEP_LOSS_OP(name) .name = cpu::name,
#define CONVSWEEP_UPDATE_OP(name, state) .name = update_##name,
#include "ops/ops.def"
    .add = cpu::add,
    .copy = cpu::copy,
    .gather = cpu::gather,
    .draw_normal = host_draw_normal,
    .one_hot = host_one_hot,
    .check_finite = cpu::check_finite,
    .matmul_scratch_bytes = cpu::matmul_scratch_bytes,
    .matmul = cpu::matmul,
    .shortest_paths_scratch_bytes = cpu::shortest_paths_scratch_bytes,
    .shortest_paths = cpu::shortest_paths};
CONVSWEEP_ASSERT_COMPLETE(table, "the CPU backend lacks an operation of ops.def");

}  // namespace

const OpTable& op_table() { return table; }

}  // namespace cpu

namespace {

class CpuBackend final : public HostBackend {
 public:
  explicit CpuBackend(const cpu::KernelTable& kernels) : kernels_(kernels) {}
  std::string name() const override { return "cpu"; }
  const OpTable& ops() const override { return cpu::op_table(); }
  bool fuses() const override { return true; }
  std::unique_ptr<ExecutionContext> context(ThreadPool* pool) override {
    return std::make_unique<cpu::CpuContext>(kernels_, pool);
  }

 private:
  const cpu::KernelTable& kernels_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const cpu::KernelTable& kernels) {
  return std::make_unique<CpuBackend>(kernels);
}

}  // namespace convsweep
