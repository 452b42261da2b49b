// What a session is made of. Private to src/session.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "convsweep/session.h"
#include "convsweep/thread_pool.h"
#include "data/dataset.h"
#include "model/lane_plan.h"
#include "session/checkpoint.h"
#include "session/lane.h"
#include "session/procedures/procedure.h"
#include "session/recordings.h"
#include "session/step.h"

namespace convsweep {

using Clock = std::chrono::steady_clock;

// Frees itself.
class DeviceBuffer {
 public:
  DeviceBuffer(Backend& backend, std::size_t bytes) : backend_(backend), memory_(backend.allocate(bytes)) {}
  ~DeviceBuffer() { backend_.release(memory_); }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  std::byte* get() const { return static_cast<std::byte*>(memory_); }

 private:
  Backend& backend_;
  void* memory_;
};

// Sizes of what lanes share, and their places in the shared buffer.
struct SharedPlan {
  std::size_t scalars = 0, metrics = 0, finite = 0, ids = 0, scale = 0, shift = 0;
  std::size_t bytes = 0;
  int rounds = 1;
};
SharedPlan plan_shared(const Recipe& recipe, const LanePlan& plan, int lanes, bool is_host);

struct Slot {
  bool taken = false;
  LaneState state;
  bool divergence_told = false;
  // Wall seconds of slices since the lane's epoch began, for images_per_second. Not part of any result.
  double epoch_seconds = 0;
  std::int64_t epoch_images = 0;
};

// What one lane did in a slice.
struct LaneProgress {
  int batches = 0;
  std::vector<LaneReport> reports;
};

class Session::Impl {
 public:
  explicit Impl(SessionConfig config);

  int free_lane() const;
  const Slot& slot(int lane) const;
  Slot& slot(int lane) { return const_cast<Slot&>(std::as_const(*this).slot(lane)); }

  // One network's parameters, say, as a run; nothing where the plan has no such run.
  std::vector<float> read_run(int lane, const Network& network, std::size_t offset, std::int64_t count) const;
  void write_run(int lane, const Network& network, std::size_t offset, std::span<const float> run);
  LaneImage image(int lane) const;
  LaneImage fresh_image(std::uint64_t seed) const;
  void place(int lane, const LaneImage& image);
  void check_image(const LaneImage& image) const;

  // Where the weights lie that the last epoch was measured with.
  const Plan& measured(int lane, const Network& network) const;
  // The weights as they are now enter the lane's average.
  void average_weights(int lane);

  // One batch of a lane; a report when it ended an epoch.
  std::optional<LaneReport> advance(int lane, ExecutionContext& context);

  std::vector<std::uint8_t> write_text(int lane, std::span<const std::uint8_t> start, int length, double temperature);

  std::vector<float> logits(int lane, MeasuredPart part, int batch);

  SliceResult run(const SliceLimits& limits);
  SessionMemory memory() const;

  const SessionConfig config;
  const LanePlan plan;
  const SharedPlan shared_plan;
  const std::string fingerprint;
  // Of all networks, one after another.
  const std::vector<Tensor> tensors;
  const Normalisation normalisation;

 private:
  // After a batch has run: tallies, position, divergence; a report when it ended an epoch.
  std::optional<LaneReport> end_batch(int lane, int round, ExecutionContext& context);
  void end_training_batch(Slot& slot, int lane, int round, ExecutionContext& context);
  LaneReport end_epoch(Slot& slot, int lane, ExecutionContext& context);
  int batches(Phase phase) const { return procedure_->batches(phase); }

  struct Slice;
  void run_lanes_apart(Slice& slice);
  void run_lanes_in_turn(Slice& slice);
  // Where memory is a device's: a batch of all lanes that are at the same kind of batch, in the same calls.
  void run_lanes_together(Slice& slice);
  // Batches that the lanes, all at the same kind of batch, may do before the host looks at them.
  int rounds_for(const Slice& slice, const std::vector<std::int32_t>& lanes) const;
  LaneSet lane_set(const std::vector<std::int32_t>& lanes);
  void quantum(Slice& slice, int lane, ExecutionContext& context);
  void count_batch(Slice& slice, int lane, std::optional<LaneReport> report);
  // Whether there is more for the lane to do in this slice.
  bool goes_on(const Slice& slice, int lane) const;

  std::vector<Slot> slots_;
  ThreadPool pool_;
  // Of each thread, and of all threads together.
  std::vector<std::unique_ptr<ExecutionContext>> alone_;
  std::unique_ptr<ExecutionContext> together_;
  const std::shared_ptr<const DatasetMemory> dataset_;
  DeviceBuffer lanes_, shared_;
  DeviceMemory memory_;
  std::unique_ptr<Procedure> procedure_;
  Recordings recordings_;
  // What lies at SharedPlan::ids.
  std::vector<std::int32_t> ids_;
  // Rounds that lately took the right time. Decides when the host looks, never a result.
  int rounds_ = 1;
};

}  // namespace convsweep
