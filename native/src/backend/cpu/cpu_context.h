// What the CPU's operations find behind an ExecutionContext. Private to src/backend/cpu.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/parallel.h"
#include "convsweep/backend.h"
#include "convsweep/thread_pool.h"

namespace convsweep::cpu {

class PoolParallel final : public Parallel {
 public:
  // Null: everything on the caller.
  explicit PoolParallel(ThreadPool* pool) : pool_(pool) {}
  int width() const noexcept override { return pool_ == nullptr ? 1 : pool_->width(); }
  void for_each(int tasks, Task task, void* context) override {
    if (pool_ != nullptr) {
      pool_->run(tasks, task, context);
    } else {
      for (int i = 0; i < tasks; ++i) task(context, i, 0);
    }
  }

 private:
  ThreadPool* pool_;
};

class CpuContext final : public ExecutionContext {
 public:
  CpuContext(const KernelTable& table, ThreadPool* pool) : kernels(table), parallel(pool) {}
  const KernelTable& kernels;
  PoolParallel parallel;
};

inline CpuContext& cast(ExecutionContext& context) { return static_cast<CpuContext&>(context); }

// What a dropout layer draws in this step of the lane (cpu_ops_elementwise.cpp).
DropoutArgs dropout_args(const LaneScalars& scalars, float layer_rate, std::uint32_t layer);

// The operations, in cpu_ops_*.cpp.
const OpTable& op_table();

#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place) \
  void name##_forward(ExecutionContext& context, const LayerCall& call);       \
  void name##_backward(ExecutionContext& context, const LayerCall& call);      \
  std::size_t name##_scratch_bytes(const LayerShape& shape, int n, int width);
#define CONVSWEEP_LOSS_OP(name) void name(ExecutionContext& context, const LossCall& call);
#define CONVSWEEP_UPDATE_OP(name, state) void update_##name(ExecutionContext& context, const UpdateCall& call);
#include "ops/ops.def"
void add(ExecutionContext& context, const JoinCall& call);
void copy(ExecutionContext& context, const JoinCall& call);
void gather(ExecutionContext& context, const GatherCall& call);
void check_finite(ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite);
std::size_t matmul_scratch_bytes(const MatmulShape& shape, int width);
void matmul(ExecutionContext& context, const MatmulCall& call);
std::size_t shortest_paths_scratch_bytes(int vertices, bool with_next, int width);
void shortest_paths(ExecutionContext& context, ShortestPathsCall& call);

}  // namespace convsweep::cpu
