// A session trains a cohort: several lanes of one recipe on one device.
//
// Guarantees:
//   * What a lane computes depends on the recipe, its seed, its hyperparameters and the backend only; not on its index,
//     its neighbours, how many threads there are, how slices were cut, or which vector instructions ran.
//   * After any exception the session is as it was before the call. A closed session throws ENGINE_CLOSED.
//   * A diverged lane stops; its neighbours do not notice. On a device whose memory is not the host's its weights may
//   be
//     those of some batches later.
// Belongs to one thread at a time. During run_slice its own threads help.
//
// Training drops the last, incomplete batch of an epoch. Evaluation covers every image exactly; its last batch is
// short.
//
// Not here: JavaScript (src/binding), which trials share a session (the coordinator).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "convsweep/backend.h"
#include "convsweep/recipe.h"

namespace convsweep {

struct Dataset;
struct Tensor;

// value = byte * scale[c] + shift[c] of channel c, with one fused multiply-add.
struct Normalisation {
  std::vector<float> scale, shift;
};

struct SessionConfig {
  Recipe recipe;
  std::shared_ptr<const Dataset> dataset;
  std::unique_ptr<Backend> backend;
  int lanes = 1;
  int threads = 1;
  // Instead of what the recipe and the data set say.
  std::optional<Normalisation> normalisation;
  // Two shared words or null: [0] is polled once a batch, anything but 0 ends the slice; [1] counts batches
  // and the operations on the way, wrapping. Must outlive the session.
  std::int32_t* control = nullptr;
};

struct Metric {
  const char* name;
  double value;
};

// Images in rows of `columns`: [image][channel][row][column], values of -1 to 1.
struct Pictures {
  Extent shape;
  int columns = 1;
  std::vector<float> values;
};

// See the types of the same names in native/types.ts.
struct LaneReport {
  int lane = 0;
  std::uint32_t epoch = 0, step = 0;
  // In the order in which they are shown; which there are depends on the procedure.
  std::vector<Metric> metrics;
  double images_per_second = 0;
  std::optional<Pictures> pictures;
  bool finished = false;

  // NaN where it is not reported.
  double metric(std::string_view name) const;
};

struct LaneDivergence {
  int lane = 0;
  std::uint32_t epoch = 0, step = 0;
  bool weights = false;
};

struct LanePosition {
  int lane = 0;
  std::uint32_t epoch = 0, step = 0;
  double loss = 0;
};

// Images that are measured, not trained on.
enum class MeasuredPart { validation, test };

enum class SliceState { more, idle, interrupted };

struct SliceResult {
  // By lane, then by epoch.
  std::vector<LaneReport> reports;
  std::vector<LaneDivergence> diverged;
  std::vector<LanePosition> positions;
  SliceState state = SliceState::idle;
};

struct SliceLimits {
  // Checked once a batch; a slice always does at least one batch if there is one to do.
  double max_millis = 200;
  // Batches a lane, training and evaluation alike.
  std::optional<int> max_batches;
};

struct SessionMemory {
  // Of a lane, and what lanes share: on the host also one workspace a thread, or one in all where lanes are fewer than
  // threads.
  std::size_t bytes_per_lane = 0, bytes_shared = 0;
  // What the data set takes on a device with memory of its own; sessions share it. 0 where it need not be copied.
  std::size_t bytes_dataset = 0;
  // What the device has left now.
  std::size_t bytes_free = 0;
};

// backend + what its bytes depend on + precision + engine version.
std::string fingerprint_of(const Backend& backend);

// Memory of a session for the recipe.
SessionMemory plan_session(const Recipe& recipe, const Backend& backend, int lanes, int threads);

class Session {
 public:
  explicit Session(SessionConfig config);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int capacity() const;
  // The lane's seed and hyperparameters are those given, also when it goes on from a checkpoint.
  // A checkpoint of another fingerprint is refused unless `any_backend`: it goes on then, but not to the bit.
  int add_lane(std::uint64_t seed, const Hyperparameters& values, std::optional<std::span<const std::uint8_t>> saved,
               bool any_backend = false);
  void remove_lane(int lane);
  void set_hyperparameters(int lane, const Hyperparameters& values);
  std::vector<std::uint8_t> save_lane(int lane) const;
  SliceResult run_slice(const SliceLimits& limits);
  const std::vector<Tensor>& tensors() const;
  // All tensors one after another, as tensors() lists them; where weights are averaged their average, once an epoch with it
  // is reported.
  std::vector<float> weights(int lane) const;
  void load_weights(int lane, std::span<const float> data);
  // Characters after `start`, by number, drawn with the lane's seed. Throws Error ENGINE_BAD_ARGUMENT unless the
  // recipe's data set is a text. src/session/write_text.cpp says how.
  std::vector<std::uint8_t> write_text(int lane, std::span<const std::uint8_t> start, int length, double temperature);
  // Of the images of a batch of the part, which has ceil(images / batch_size) of them: [image][class], before the softmax.
  // Throws Error ENGINE_BAD_ARGUMENT unless the recipe classifies images and the part has some.
  std::vector<float> logits(int lane, MeasuredPart part, int batch);
  const Normalisation& normalisation() const;
  SessionMemory memory() const;
  // Frees everything. Idempotent.
  void close() noexcept;

 private:
  class Impl;
  Impl& open() const;
  std::unique_ptr<Impl> impl_;
  int capacity_ = 0;
};

struct ClassifyRequest {
  Recipe recipe;
  std::unique_ptr<Backend> backend;
  int threads = 1;
  // As Session::weights has them.
  std::vector<float> weights;
  Normalisation normalisation;
  // [image][channel][row][column], of the recipe's shape.
  std::vector<std::uint8_t> images;
};

// Logits of images with weights that were trained before: [image][class]. Throws Error ENGINE_BAD_ARGUMENT for sizes
// that do not fit the recipe.
std::vector<float> classify(ClassifyRequest request);

}  // namespace convsweep
