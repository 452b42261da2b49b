#include "convsweep/session.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "convsweep/error.h"
#include "session/impl.h"

namespace convsweep {
namespace {

constexpr int max_lanes = 65536;
constexpr int max_threads = 1024;

void check_range(const char* path, int value, int high) {
  if (value >= 1 && value <= high) return;
  throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, path, "integer from 1 to " + std::to_string(high),
                   std::to_string(value));
}

}  // namespace

Session::Session(SessionConfig config) {
  check_range("lanes", config.lanes, max_lanes);
  check_range("threads", config.threads, max_threads);
  if (config.dataset == nullptr) throw Error(ErrorCode::ENGINE_NO_DATASET, "dataset", "none was given");
  check_dataset(*config.dataset, config.recipe.dataset);
  // A device has threads of its own.
  if (!config.backend->is_host()) config.threads = 1;
  capacity_ = config.lanes;
  impl_ = std::make_unique<Impl>(std::move(config));
}

Session::~Session() = default;

Session::Impl& Session::open() const {
  if (impl_ == nullptr) throw Error(ErrorCode::ENGINE_CLOSED, "", "the session is closed");
  return *impl_;
}

int Session::capacity() const { return capacity_; }

int Session::add_lane(std::uint64_t seed, const Hyperparameters& values,
                      std::optional<std::span<const std::uint8_t>> saved, bool any_backend) {
  Impl& impl = open();
  check_hyperparameters(values, ErrorCode::ENGINE_BAD_ARGUMENT, "hyperparameters");
  const int lane = impl.free_lane();
  LaneImage image;
  if (saved) {
    image = read_checkpoint(*saved, impl.config.recipe.digest,
                            any_backend ? std::nullopt : std::optional(impl.fingerprint));
    impl.check_image(image);
  } else {
    image = impl.fresh_image(seed);
  }
  image.state.seed = seed;
  image.state.hyperparameters = values;
  impl.place(lane, image);
  return lane;
}

void Session::remove_lane(int lane) { open().slot(lane) = Slot{}; }

void Session::set_hyperparameters(int lane, const Hyperparameters& values) {
  Slot& slot = open().slot(lane);
  check_hyperparameters(values, ErrorCode::ENGINE_BAD_ARGUMENT, "hyperparameters");
  slot.state.hyperparameters = values;
}

std::vector<std::uint8_t> Session::save_lane(int lane) const {
  const Impl& impl = open();
  return write_checkpoint(impl.image(lane), impl.config.recipe.digest, impl.fingerprint);
}

SliceResult Session::run_slice(const SliceLimits& limits) {
  Impl& impl = open();
  if (!(limits.max_millis >= 0) || limits.max_millis > 86400000.0) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "maxMillis", "number from 0 to 86400000",
                     std::to_string(limits.max_millis));
  }
  if (limits.max_batches && *limits.max_batches < 1) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "maxSteps", "integer >= 1 or null",
                     std::to_string(*limits.max_batches));
  }
  return impl.run(limits);
}

const std::vector<Tensor>& Session::tensors() const { return open().tensors; }

std::vector<float> Session::weights(int lane) const {
  const Impl& impl = open();
  impl.slot(lane);
  std::vector<float> all;
  all.reserve(static_cast<std::size_t>(impl.plan.weights_size()));
  for (const Network& network : impl.plan.networks) {
    const Graph& graph = network.graph;
    const Plan& plan = impl.measured(lane, network);
    const std::vector<float> parameters = impl.read_run(lane, network, plan.parameters, graph.parameters);
    const std::vector<float> statistics = impl.read_run(lane, network, plan.statistics, graph.statistics);
    for (const Tensor& tensor : graph.tensors) {
      const auto from = (tensor.statistic ? statistics : parameters).begin() + tensor.offset;
      all.insert(all.end(), from, from + tensor.size);
    }
  }
  return all;
}

void Session::load_weights(int lane, std::span<const float> data) {
  Impl& impl = open();
  impl.slot(lane);
  if (data.size() != static_cast<std::size_t>(impl.plan.weights_size())) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "data", std::to_string(impl.plan.weights_size()) + " values",
                     std::to_string(data.size()));
  }
  for (std::size_t at = 0; at < data.size(); ++at) {
    if (!std::isfinite(data[at])) {
      throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "data[" + std::to_string(at) + "]", "a finite number",
                       std::to_string(data[at]));
    }
  }
  auto from = data.begin();
  for (const Network& network : impl.plan.networks) {
    std::vector<float> parameters(static_cast<std::size_t>(network.graph.parameters));
    std::vector<float> statistics(static_cast<std::size_t>(network.graph.statistics));
    for (const Tensor& tensor : network.graph.tensors) {
      std::copy_n(from, tensor.size, (tensor.statistic ? statistics : parameters).begin() + tensor.offset);
      from += tensor.size;
    }
    impl.write_run(lane, network, network.plan.parameters, parameters);
    impl.write_run(lane, network, network.plan.statistics, statistics);
  }
}

std::vector<std::uint8_t> Session::write_text(int lane, std::span<const std::uint8_t> start, int length,
                                              double temperature) {
  return open().write_text(lane, start, length, temperature);
}

std::vector<float> Session::logits(int lane, MeasuredPart part, int batch) { return open().logits(lane, part, batch); }

const Normalisation& Session::normalisation() const { return open().normalisation; }

SessionMemory Session::memory() const {
  const Impl& impl = open();
  return impl.memory();
}

void Session::close() noexcept { impl_.reset(); }

}  // namespace convsweep
