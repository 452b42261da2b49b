// Sessions on a device whose memory is not the host's, and whose calls take several lanes at once: here the CPU backend
// behind pages that nobody may touch outside of a backend's call.
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "backend/registry.h"
#include "doctest/doctest.h"
#include "session_support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// What a device was asked to do.
struct Counts {
  int gathers = 0, most_lanes = 0, scattered = 0;
};

class Far;
struct FarContext final : ExecutionContext {
  FarContext(Far& of, std::unique_ptr<ExecutionContext> to) : far(of), inner(std::move(to)) {}
  Far& far;
  std::unique_ptr<ExecutionContext> inner;
};

class Far final : public Backend {
 public:
  explicit Far(Counts& counts);
  std::string name() const override { return inner->name(); }
  const OpTable& ops() const override { return table; }
  bool fuses() const override { return inner->fuses(); }
  bool is_host() const override { return false; }
  std::unique_ptr<ExecutionContext> context(ThreadPool* pool) override {
    return std::make_unique<FarContext>(*this, inner->context(pool));
  }
  void* allocate(std::size_t bytes) override {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(memory != MAP_FAILED);
    sizes[memory] = bytes;
    return memory;
  }
  void release(void* memory) noexcept override {
    munmap(memory, sizes[memory]);
    sizes.erase(memory);
  }
  void copy_in(void* device, const void* host, std::size_t bytes) override {
    open(PROT_READ | PROT_WRITE);
    if (bytes > 0) std::memcpy(device, host, bytes);
    open(PROT_NONE);
  }
  void copy_out(void* host, const void* device, std::size_t bytes) override {
    open(PROT_READ);
    if (bytes > 0) std::memcpy(host, device, bytes);
    open(PROT_NONE);
  }
  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) override {
    struct Copy final : DatasetMemory {
      Copy(Far& to, const Dataset& from) : of(to), memory(of.allocate(from.images.size() + from.labels.size())) {
        auto* const bytes = static_cast<std::uint8_t*>(memory);
        of.copy_in(bytes, from.images.data(), from.images.size());
        of.copy_in(bytes + from.images.size(), from.labels.data(), from.labels.size());
        images = bytes;
        labels = bytes + from.images.size();
      }
      ~Copy() override { of.release(memory); }
      Far& of;
      void* memory;
    };
    return std::make_shared<Copy>(*this, *set);
  }
  std::size_t memory_bytes() const override { return inner->memory_bytes(); }
  void open(int protection) const {
    for (const auto& [memory, bytes] : sizes) mprotect(memory, bytes, protection);
  }

  Counts& counts;
  std::unique_ptr<Backend> inner = make_backend("cpu", "auto");
  OpTable table;
  std::map<void*, std::size_t> sizes;
};

// The call, lane by lane.
template <class Call, class Run>
void each_lane(ExecutionContext& context, const Call& call, Run run) {
  auto& far = static_cast<FarContext&>(context);
  far.far.open(PROT_READ | PROT_WRITE);
  for (int i = 0; i < call.lanes.count; ++i) {
    Call one = call;
    one.lanes = {call.lanes[i], 1, nullptr};
    run(far.far.inner->ops(), *far.inner, one);
  }
  far.far.open(PROT_NONE);
}

Far::Far(Counts& to) : counts(to), table(inner->ops()) {
#define CONVSWEEP_LAYER_OP(name, backward_needs_x, backward_needs_y, in_place)                                 \
  table.name.forward = [](ExecutionContext& context, const LayerCall& call) {                                  \
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.name.forward(c, one); });  \
  };                                                                                                           \
  table.name.backward = [](ExecutionContext& context, const LayerCall& call) {                                 \
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.name.backward(c, one); }); \
  };
#define CONVSWEEP_LOSS_OP(name)                                                                       \
  table.name = [](ExecutionContext& context, const LossCall& call) {                                  \
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.name(c, one); }); \
  };
#define CONVSWEEP_UPDATE_OP(name, state)                                                              \
  table.name = [](ExecutionContext& context, const UpdateCall& call) {                                \
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.name(c, one); }); \
  };
#include "ops/ops.def"
  table.add = [](ExecutionContext& context, const JoinCall& call) {
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.add(c, one); });
  };
  table.copy = [](ExecutionContext& context, const JoinCall& call) {
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.copy(c, one); });
  };
  table.gather = [](ExecutionContext& context, const GatherCall& call) {
    Counts& seen = static_cast<FarContext&>(context).far.counts;
    ++seen.gathers;
    seen.most_lanes = std::max(seen.most_lanes, call.lanes.count);
    seen.scattered += call.lanes.ids != nullptr ? 1 : 0;
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.gather(c, one); });
  };
  table.draw_normal = [](ExecutionContext& context, const NormalCall& call) {
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.draw_normal(c, one); });
  };
  table.one_hot = [](ExecutionContext& context, const OneHotCall& call) {
    each_lane(context, call, [](const OpTable& ops, auto& c, const auto& one) { ops.one_hot(c, one); });
  };
  table.check_finite = [](ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                          std::int32_t* finite) {
    auto& far = static_cast<FarContext&>(context);
    far.far.open(PROT_READ | PROT_WRITE);
    for (int i = 0; i < lanes.count; ++i) {
      far.far.inner->ops().check_finite(*far.inner, {lanes[i], 1, nullptr}, values, count, finite);
    }
    far.far.open(PROT_NONE);
  };
}

std::unique_ptr<Session> far_session(const RecipeText& text, int lanes, Counts& counts) {
  SessionConfig config;
  config.recipe = text.recipe();
  config.dataset = small_dataset();
  config.backend = std::make_unique<Far>(counts);
  config.lanes = lanes;
  return std::make_unique<Session>(std::move(config));
}

bool same(const LaneReport& a, const LaneReport& b) {
  if (a.lane != b.lane || a.epoch != b.epoch || a.step != b.step || a.metrics.size() != b.metrics.size()) return false;
  for (std::size_t i = 0; i < a.metrics.size(); ++i) {
    if (std::memcmp(&a.metrics[i].value, &b.metrics[i].value, sizeof(double)) != 0) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("device session: lanes together give the bytes of lanes apart, and the host touches no device memory") {
  const RecipeText text;
  Counts counts;
  const auto far = far_session(text, 4, counts), near = open_session(text, 4);
  const auto both = [&](auto what) {
    what(*far);
    what(*near);
  };
  // Lane 1 leaves early, lane 3 comes late and is at other batches of the epoch than lanes 0 and 2.
  std::vector<LaneReport> reports[2];
  int at = 0;
  both([&](Session& session) {
    std::vector<LaneReport>& told = reports[at++];
    const auto keep = [&](const SliceResult& result) {
      told.insert(told.end(), result.reports.begin(), result.reports.end());
    };
    for (std::uint64_t seed = 0; seed < 3; ++seed) session.add_lane(seed, default_values, std::nullopt);
    keep(session.run_slice({1e6, 3}));
    session.remove_lane(1);
    session.add_lane(12, default_values, std::nullopt);
    session.add_lane(13, default_values, std::nullopt);
    session.remove_lane(1);
    for (const LaneReport& report : run_to_end(session, 4)) told.push_back(report);
  });
  REQUIRE(reports[0].size() == reports[1].size());
  CHECK(reports[0].size() == 9);
  for (std::size_t i = 0; i < reports[0].size(); ++i) CHECK(same(reports[0][i], reports[1][i]));
  for (const int lane : {0, 2, 3}) {
    CHECK(far->weights(lane) == near->weights(lane));
    CHECK(far->save_lane(lane) == near->save_lane(lane));
  }
  CHECK(counts.most_lanes == 3);
  CHECK(counts.scattered > 0);
}

TEST_CASE("device session: a batch of all lanes is one call") {
  RecipeText text;
  text.epochs = 1;
  Counts one, four;
  for (const auto& [lanes, counts] : {std::pair<int, Counts*>{1, &one}, {4, &four}}) {
    const auto session = far_session(text, lanes, *counts);
    for (int i = 0; i < lanes; ++i) session->add_lane(static_cast<std::uint64_t>(i), default_values, std::nullopt);
    run_to_end(*session);
  }
  CHECK(one.gathers == four.gathers);
  CHECK(four.most_lanes == 4);
  CHECK(four.scattered == 0);
}

TEST_CASE("device session: a checkpoint of lanes together goes on alone, on the host too") {
  const RecipeText text;
  Counts counts;
  const auto far = far_session(text, 3, counts), whole = open_session(text, 1), rest = open_session(text, 1);
  for (std::uint64_t seed = 0; seed < 3; ++seed) far->add_lane(seed, default_values, std::nullopt);
  far->run_slice({1e6, 10});
  rest->add_lane(2, default_values, far->save_lane(2));
  run_to_end(*rest);
  whole->add_lane(2, default_values, std::nullopt);
  run_to_end(*whole);
  CHECK(rest->weights(0) == whole->weights(0));
}

TEST_CASE("device session: averaged weights, lanes at different epochs") {
  RecipeText text;
  text.averaging = R"({"start":1,"every":1})";
  Counts counts;
  const auto far = far_session(text, 3, counts), near = open_session(text, 3);
  for (Session* session : {far.get(), near.get()}) {
    session->add_lane(0, default_values, std::nullopt);
    session->add_lane(1, default_values, std::nullopt);
    session->run_slice({1e6, 11});
    session->add_lane(2, default_values, std::nullopt);
    run_to_end(*session);
  }
  for (const int lane : {0, 1, 2}) CHECK(far->weights(lane) == near->weights(lane));
}

TEST_CASE("device session: a lane that diverges stops, its neighbours go on") {
  RecipeText text;
  text.optimizer = "sgd";
  Counts counts;
  const auto far = far_session(text, 3, counts), near = open_session(text, 3);
  std::vector<LaneDivergence> diverged[2];
  int at = 0;
  for (Session* session : {far.get(), near.get()}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) {
      Hyperparameters values = default_values;
      if (seed == 1) values[0] = 1e6;
      session->add_lane(seed, values, std::nullopt);
    }
    SliceResult result;
    do {
      result = session->run_slice({1e6, 5});
      diverged[at].insert(diverged[at].end(), result.diverged.begin(), result.diverged.end());
    } while (result.state == SliceState::more);
    ++at;
  }
  REQUIRE(diverged[0].size() == 1);
  REQUIRE(diverged[1].size() == 1);
  CHECK(diverged[0][0].lane == 1);
  CHECK(diverged[0][0].step == diverged[1][0].step);
  CHECK(diverged[0][0].weights == diverged[1][0].weights);
  for (const int lane : {0, 2}) CHECK(far->weights(lane) == near->weights(lane));
}

TEST_CASE("device session: GANs by class, lanes together, with their pictures") {
  RecipeText text;
  text.layers =
      R"([{"op":"conv_transpose2d","filters":2,"kernel":[6,6],"stride":[1,1],"padding":[0,0],"output_padding":[0,0],)"
      R"("groups":1,"bias":false,"init":"dcgan_normal"},{"op":"tanh"}])";
  text.procedure =
      R"({"kind":"gan","latent":5,"conditional":true,"discriminator":[{"op":"conv2d","filters":3,"kernel":[3,3],)"
      R"("stride":[2,2],"padding":[1,1],"groups":1,"bias":false,"init":"dcgan_normal"},)"
      R"({"op":"leaky_relu","slope":0.2},{"op":"dropout","rate":0.25},{"op":"flatten"},)"
      R"({"op":"linear","units":1,"bias":true,"init":"torch_uniform"}]})";
  text.test_at_end = false;
  text.flip = false;
  text.crop = 0;
  Counts counts;
  const auto far = far_session(text, 3, counts), near = open_session(text, 3);
  std::vector<LaneReport> reports[2];
  int at = 0;
  for (Session* session : {far.get(), near.get()}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) session->add_lane(seed, default_values, std::nullopt);
    session->run_slice({1e6, 2});
    session->remove_lane(1);
    reports[at] = run_to_end(*session);
    // Where a slice ends depends on time.
    std::sort(reports[at].begin(), reports[at].end(), [](const LaneReport& a, const LaneReport& b) {
      return std::pair(a.lane, a.epoch) < std::pair(b.lane, b.epoch);
    });
    ++at;
  }
  REQUIRE(reports[0].size() == reports[1].size());
  REQUIRE(reports[0].size() == 6);
  for (std::size_t i = 0; i < reports[0].size(); ++i) {
    CHECK(same(reports[0][i], reports[1][i]));
    REQUIRE(reports[0][i].pictures);
    CHECK(reports[0][i].pictures->values == reports[1][i].pictures->values);
  }
  for (const int lane : {0, 2}) CHECK(far->weights(lane) == near->weights(lane));
  CHECK(counts.scattered > 0);
}
