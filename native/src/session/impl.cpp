// A session's memory, and lanes in and out of it.
#include "session/impl.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "convsweep/error.h"
#include "convsweep/version.h"

namespace convsweep {
namespace {

// Batches that a device does before the host looks at their metrics.
constexpr int most_rounds = 64;

std::size_t round64(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// Lanes run on different threads: keep them off each other's cache lines, and off each other's cache sets.
std::size_t apart(std::size_t bytes) { return bytes + 192; }

// Where lanes and workspaces lie. On a device every lane has its workspace beside it, as all are under way together; on the
// host every thread that may have a lane to itself has one, so that it stays in the cache from lane to lane.
struct Places {
  std::size_t lane_stride = 0, work_stride = 0, slot_stride = 0;
  int slots = 0;
  std::size_t work_bytes() const { return static_cast<std::size_t>(slots) * slot_stride; }
  std::size_t bytes(int lanes) const { return static_cast<std::size_t>(lanes) * lane_stride + work_bytes(); }
};

Places places(const LanePlan& plan, int lanes, int threads, bool is_host) {
  if (!is_host) {
    const std::size_t stride = apart(plan.kept_bytes + plan.work_bytes);
    return {stride, stride, 0, 0};
  }
  return {apart(plan.kept_bytes), 0, apart(plan.work_bytes), lanes >= threads ? threads : 1};
}

std::vector<Tensor> tensors_of(const LanePlan& plan) {
  std::vector<Tensor> all;
  for (const Network& network : plan.networks) {
    all.insert(all.end(), network.graph.tensors.begin(), network.graph.tensors.end());
  }
  return all;
}

Normalisation normalisation_of(const SessionConfig& config) {
  if (config.normalisation) return *config.normalisation;
  const Dataset& data = *config.dataset;
  return config.recipe.procedure.kind == ProcedureKind::gan
             ? between_minus_one_and_one(data)
             : normalise(data, data.train - config.recipe.dataset.validation);
}

std::size_t dataset_bytes(const DatasetSpec& data) {
  const auto images = static_cast<std::size_t>(data.train_images) + static_cast<std::size_t>(data.test_images);
  return round64(images * static_cast<std::size_t>(data.shape.size())) +
         round64(images * static_cast<std::size_t>(data.positions()));
}

std::size_t session_bytes(const SessionConfig& config, const LanePlan& plan, int lanes) {
  const bool is_host = config.backend->is_host();
  return places(plan, lanes, config.threads, is_host).bytes(lanes) +
         plan_shared(config.recipe, plan, lanes, is_host).bytes;
}

// The most lanes whose memory, with what they share, is at most `bytes`.
int lanes_within(const SessionConfig& config, const LanePlan& plan, std::size_t bytes) {
  int low = 0, high = config.lanes;
  while (low < high) {
    const int middle = low + (high - low + 1) / 2;
    if (session_bytes(config, plan, middle) <= bytes) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

// The memory of lanes and workspaces, once it is known that all of the session fits.
std::size_t lanes_bytes(const SessionConfig& config, const LanePlan& plan) {
  const std::size_t free = config.backend->free_bytes();
  const Places at = places(plan, config.lanes, config.threads, config.backend->is_host());
  const std::size_t needed = session_bytes(config, plan, config.lanes);
  if (needed > free) {
    const int fit = lanes_within(config, plan, free);
    throw Error(ErrorCode::ENGINE_OUT_OF_MEMORY, "lanes",
                std::to_string(config.lanes) + " lanes of " + std::to_string(at.lane_stride) + " bytes need " +
                    std::to_string(needed) + ", " + std::to_string(free) + " are free, enough for " +
                    std::to_string(fit) + "; take fewer lanes or a smaller batch");
  }
  return at.bytes(config.lanes);
}

void append(std::vector<float>& to, const std::vector<float>& run) { to.insert(to.end(), run.begin(), run.end()); }

}  // namespace

double LaneReport::metric(std::string_view name) const {
  for (const Metric& metric : metrics) {
    if (metric.name == name) return metric.value;
  }
  return Tally::nan();
}

SharedPlan plan_shared(const Recipe& recipe, const LanePlan& lane, int lanes, bool is_host) {
  SharedPlan plan;
  const auto take = [&plan](std::size_t bytes) { return std::exchange(plan.bytes, plan.bytes + round64(bytes)); };
  const auto count = static_cast<std::size_t>(lanes);
  const DatasetSpec& data = recipe.dataset;
  const auto channels = static_cast<std::size_t>(data.shape.channels);
  const std::size_t passes = count * static_cast<std::size_t>(lane.passes);
  plan.rounds = is_host ? 1 : most_rounds;
  const std::size_t batches = passes * static_cast<std::size_t>(plan.rounds);
  plan.scalars = take(batches * sizeof(LaneScalars));
  plan.metrics = take(batches * sizeof(LaneMetrics));
  plan.finite = take(passes * sizeof(std::int32_t));
  plan.ids = take(count * sizeof(std::int32_t));
  plan.scale = take(channels * sizeof(float));
  plan.shift = take(channels * sizeof(float));
  return plan;
}

std::string fingerprint_of(const Backend& backend) {
  const std::string generation = backend.generation();
  return backend.name() + (generation.empty() ? "" : " " + generation) + " float32 " + engine_version;
}

SessionMemory plan_session(const Recipe& recipe, const Backend& backend, int lanes, int threads) {
  const LanePlan plan = plan_lane(recipe, backend.ops(), threads, backend.fuses());
  const Places at = places(plan, lanes, threads, backend.is_host());
  return {at.lane_stride, plan_shared(recipe, plan, lanes, backend.is_host()).bytes + at.work_bytes(),
          backend.is_host() ? 0 : dataset_bytes(recipe.dataset), backend.free_bytes()};
}

SessionMemory Session::Impl::memory() const {
  const Backend& backend = *config.backend;
  const Places at = places(plan, config.lanes, config.threads, backend.is_host());
  return {at.lane_stride, shared_plan.bytes + at.work_bytes(), backend.is_host() ? 0 : dataset_bytes(config.recipe.dataset),
          backend.free_bytes()};
}

Session::Impl::Impl(SessionConfig given)
    : config(std::move(given)),
      plan(plan_lane(config.recipe, config.backend->ops(), config.threads, config.backend->fuses())),
      shared_plan(plan_shared(config.recipe, plan, config.lanes, config.backend->is_host())),
      fingerprint(fingerprint_of(*config.backend)),
      tensors(tensors_of(plan)),
      normalisation(normalisation_of(config)),
      slots_(static_cast<std::size_t>(config.lanes)),
      pool_(config.threads),
      dataset_(config.backend->dataset(config.dataset)),
      lanes_(*config.backend, lanes_bytes(config, plan)),
      shared_(*config.backend, shared_plan.bytes),
      recordings_(*config.backend) {
  Backend& backend = *config.backend;
  for (int i = 0; i < config.threads; ++i) {
    alone_.push_back(backend.context(nullptr));
    alone_.back()->slot = i;
  }
  together_ = backend.context(&pool_);
  if (config.control != nullptr) {
    for (const auto& context : alone_) context->beats = &config.control[1];
    together_->beats = &config.control[1];
  }
  std::byte* base = shared_.get();
  memory_.lanes = lanes_.get();
  const Places at = places(plan, config.lanes, config.threads, backend.is_host());
  memory_.lane_stride = at.lane_stride;
  memory_.work_stride = at.work_stride;
  memory_.slot_stride = at.slot_stride;
  const bool is_host = backend.is_host();
  memory_.work = memory_.lanes + (is_host ? static_cast<std::size_t>(config.lanes) * at.lane_stride : plan.kept_bytes);
  memory_.scalars = reinterpret_cast<LaneScalars*>(base + shared_plan.scalars);
  memory_.metrics = reinterpret_cast<LaneMetrics*>(base + shared_plan.metrics);
  memory_.finite = reinterpret_cast<std::int32_t*>(base + shared_plan.finite);
  memory_.pass_stride = static_cast<std::size_t>(config.lanes);
  memory_.round_stride = memory_.pass_stride * static_cast<std::size_t>(plan.passes);
  memory_.rounds = shared_plan.rounds;
  backend.copy_in(base + shared_plan.scale, normalisation.scale.data(), normalisation.scale.size() * sizeof(float));
  backend.copy_in(base + shared_plan.shift, normalisation.shift.data(), normalisation.shift.size() * sizeof(float));
  memory_.scale = reinterpret_cast<const float*>(base + shared_plan.scale);
  memory_.shift = reinterpret_cast<const float*>(base + shared_plan.shift);
  memory_.images = dataset_->images;
  memory_.labels = dataset_->labels;
  procedure_ = make_procedure(backend, config.recipe, plan, memory_);
}

int Session::Impl::free_lane() const {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].taken) return static_cast<int>(i);
  }
  throw Error(ErrorCode::ENGINE_LANES_FULL, "",
              "all " + std::to_string(slots_.size()) + " lanes are taken; remove one first");
}

const Slot& Session::Impl::slot(int lane) const {
  if (lane < 0 || lane >= config.lanes || !slots_[static_cast<std::size_t>(lane)].taken) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "lane",
                     "a lane in use, from 0 to " + std::to_string(config.lanes - 1), std::to_string(lane));
  }
  return slots_[static_cast<std::size_t>(lane)];
}

std::vector<float> Session::Impl::read_run(int lane, const Network& network, std::size_t offset,
                                           std::int64_t count) const {
  if (offset == nowhere) return {};
  std::vector<float> run(static_cast<std::size_t>(count));
  const std::byte* from = memory_.lanes + static_cast<std::size_t>(lane) * memory_.lane_stride + network.kept + offset;
  config.backend->copy_out(run.data(), from, run.size() * sizeof(float));
  return run;
}

void Session::Impl::write_run(int lane, const Network& network, std::size_t offset, std::span<const float> run) {
  if (offset == nowhere) return;
  std::byte* to = memory_.lanes + static_cast<std::size_t>(lane) * memory_.lane_stride + network.kept + offset;
  config.backend->copy_in(to, run.data(), run.size() * sizeof(float));
}

LaneImage Session::Impl::image(int lane) const {
  LaneImage image;
  image.state = slot(lane).state;
  for (const Network& network : plan.networks) {
    const std::int64_t parameters = network.graph.parameters;
    append(image.parameters, read_run(lane, network, network.plan.parameters, parameters));
    append(image.state0, read_run(lane, network, network.plan.state0, parameters));
    append(image.state1, read_run(lane, network, network.plan.state1, parameters));
    append(image.statistics, read_run(lane, network, network.plan.statistics, network.graph.statistics));
    append(image.average, read_run(lane, network, network.plan.average, parameters));
    append(image.average_statistics,
           read_run(lane, network, network.plan.average_statistics, network.graph.statistics));
  }
  return image;
}

LaneImage Session::Impl::fresh_image(std::uint64_t seed) const {
  LaneImage image;
  std::uint32_t number = 0;
  for (const Network& network : plan.networks) {
    append(image.parameters, initial_parameters(network.graph, seed, number++));
    append(image.statistics, initial_statistics(network.graph));
  }
  if (plan.networks[0].plan.state0 != nowhere) image.state0.assign(image.parameters.size(), 0.0F);
  if (plan.networks[0].plan.state1 != nowhere) image.state1.assign(image.parameters.size(), 0.0F);
  if (plan.networks[0].plan.average != nowhere) {
    image.average.assign(image.parameters.size(), 0.0F);
    image.average_statistics.assign(image.statistics.size(), 0.0F);
  }
  return image;
}

// The digest has matched, so a difference here is damage that the checksum did not see, or a forged file.
void Session::Impl::check_image(const LaneImage& image) const {
  const Plan& first = plan.networks[0].plan;
  const auto state = [this](std::size_t offset) { return offset == nowhere ? 0 : plan.parameters(); };
  const std::int64_t averaged_statistics = first.average == nowhere ? 0 : plan.statistics();
  const std::pair<std::size_t, std::int64_t> wanted[] = {
      {image.parameters.size(), plan.parameters()}, {image.state0.size(), state(first.state0)},
      {image.state1.size(), state(first.state1)},   {image.statistics.size(), plan.statistics()},
      {image.average.size(), state(first.average)}, {image.average_statistics.size(), averaged_statistics}};
  for (const auto& [found, expected] : wanted) {
    if (found != static_cast<std::size_t>(expected)) {
      throw unexpected(ErrorCode::ENGINE_CORRUPT_CHECKPOINT, "checkpoint", std::to_string(expected) + " values",
                       std::to_string(found));
    }
  }
  const LaneState& s = image.state;
  const bool training = s.status == LaneStatus::training;
  const auto epochs = static_cast<std::uint32_t>(config.recipe.epochs);
  if (s.epoch > epochs || (training && (s.epoch == epochs || static_cast<int>(s.batch) >= batches(s.phase)))) {
    throw Error(ErrorCode::ENGINE_CORRUPT_CHECKPOINT, "checkpoint", "its position lies outside the recipe's epochs");
  }
}

const Plan& Session::Impl::measured(int lane, const Network& network) const {
  const std::optional<Averaging>& averaging = config.recipe.averaging;
  return averaging && averaging->taken(slot(lane).state.epoch) > 0 ? plan.average : network.plan;
}

// On the host for every backend: once an epoch at most, and one text decides the bytes.
void Session::Impl::average_weights(int lane) {
  const auto taken = static_cast<float>(config.recipe.averaging->taken(slot(lane).state.epoch));
  for (const Network& network : plan.networks) {
    const std::int64_t count = network.graph.parameters;
    const std::vector<float> weights = read_run(lane, network, network.plan.parameters, count);
    std::vector<float> average = read_run(lane, network, network.plan.average, count);
    for (std::size_t i = 0; i < average.size(); ++i) average[i] += (weights[i] - average[i]) / (taken + 1);
    write_run(lane, network, network.plan.average, average);
  }
}

void Session::Impl::place(int lane, const LaneImage& image) {
  Slot& slot = slots_[static_cast<std::size_t>(lane)];
  slot = Slot{};
  slot.state = image.state;
  std::size_t at = 0, statistics_at = 0;
  for (const Network& network : plan.networks) {
    const auto count = static_cast<std::size_t>(network.graph.parameters);
    const auto part = [&](const std::vector<float>& run) {
      return run.empty() ? std::span<const float>{} : std::span(run).subspan(at, count);
    };
    write_run(lane, network, network.plan.parameters, part(image.parameters));
    write_run(lane, network, network.plan.state0, part(image.state0));
    write_run(lane, network, network.plan.state1, part(image.state1));
    const auto statistics = static_cast<std::size_t>(network.graph.statistics);
    write_run(lane, network, network.plan.statistics, std::span(image.statistics).subspan(statistics_at, statistics));
    write_run(lane, network, network.plan.average, part(image.average));
    if (!image.average_statistics.empty()) {
      write_run(lane, network, network.plan.average_statistics,
                std::span(image.average_statistics).subspan(statistics_at, statistics));
    }
    at += count;
    statistics_at += statistics;
  }
  slot.taken = true;
}

}  // namespace convsweep
