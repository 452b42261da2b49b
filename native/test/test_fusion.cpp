// Layers done in one call, and the profile: neither changes a byte of what is trained.
#include <algorithm>

#include "backend/profiling.h"
#include "backend/registry.h"
#include "device_support.h"
#include "layer_text.h"
#include "model/fusion.h"
#include "model/plan.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

// A backend, one layer at a time.
class Unfused final : public Backend {
 public:
  explicit Unfused(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}
  std::string name() const override { return inner_->name(); }
  std::string generation() const override { return inner_->generation(); }
  const OpTable& ops() const override { return inner_->ops(); }
  bool fuses() const override { return false; }
  bool is_host() const override { return inner_->is_host(); }
  std::unique_ptr<ExecutionContext> context(ThreadPool* pool) override { return inner_->context(pool); }
  void* allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void release(void* memory) noexcept override { inner_->release(memory); }
  void copy_in(void* device, const void* host, std::size_t bytes) override { inner_->copy_in(device, host, bytes); }
  void copy_out(void* host, const void* device, std::size_t bytes) override { inner_->copy_out(host, device, bytes); }
  std::shared_ptr<const DatasetMemory> dataset(std::shared_ptr<const Dataset> set) override {
    return inner_->dataset(std::move(set));
  }
  std::size_t memory_bytes() const override { return inner_->memory_bytes(); }

 private:
  std::unique_ptr<Backend> inner_;
};

std::unique_ptr<Session> open_on(const RecipeText& text, std::unique_ptr<Backend> backend) {
  SessionConfig config;
  config.recipe = text.recipe();
  config.dataset = small_dataset();
  config.backend = std::move(backend);
  config.threads = 2;
  return std::make_unique<Session>(std::move(config));
}

std::vector<std::uint8_t> trained_on(const RecipeText& text, std::unique_ptr<Backend> backend) {
  const auto session = open_on(text, std::move(backend));
  session->add_lane(3, default_values, std::nullopt);
  run_to_end(*session);
  return session->save_lane(0);
}

const std::string pool2_text = R"({"op":"max_pool2d","size":[2,2],"stride":[2,2],"padding":"valid"})";
const std::string pool3_text = R"({"op":"max_pool2d","size":[3,3],"stride":[3,3],"padding":"valid"})";

// Each kind of neighbours that become one call, and a relu before dropout alone.
std::vector<NestedNetwork> fusible_networks() {
  const std::string flatten = plain_text("flatten"), tanh = plain_text("tanh");
  const std::string linear6 = R"({"op":"linear","units":6,"bias":true,"init":"torch_uniform"})";
  return {
      {"relu, dropout, pool", joined({conv_text(3, 3, 1, true), relu_text, dropout_text, pool2_text, flatten, linear6,
                                      relu_text, dropout_text, linear4_text})},
      {"tanh, pool; relu, pool", joined({conv_text(3, 3), tanh, pool2_text, conv_text(17, 3, 1, true), relu_text,
                                         pool3_text, flatten, linear4_text})},
      {"batch norm and products with relu", joined({conv_text(3, 3), norm_text, relu_text, conv_text(5, 3, 2, true),
                                                    relu_text, flatten, linear6, norm_text, relu_text, linear4_text})},
      {"an activation that is read twice",
       joined({conv_text(3, 3), relu_text, residual_text({conv_text(3, 3), norm_text}), relu_text, pool2_text, flatten,
               linear4_text})}};
}

}  // namespace

TEST_CASE("fused layers train to the same bytes as layers one after another") {
  std::vector<NestedNetwork> networks = fusible_networks();
  for (const NestedNetwork& nested : nested_networks()) networks.push_back(nested);
  for (const NestedNetwork& network : networks) {
    CAPTURE(network.name);
    RecipeText text;
    text.layers = network.layers;
    const auto cpu = [] { return make_backend("cpu", "auto"); };
    CHECK(trained_on(text, cpu()) == trained_on(text, std::make_unique<Unfused>(cpu())));
  }
}

namespace {

void check_fused_on(const MakeBackend& make) {
  for (const NestedNetwork& network : fusible_networks()) {
    for (const int batch : {7, 8}) {
      CAPTURE(network.name);
      CAPTURE(batch);
      RecipeText text;
      text.layers = network.layers;
      text.batch = batch;
      text.epochs = 1;
      CHECK(trained_on(text, make()) == trained_on(text, std::make_unique<Unfused>(make())));
    }
  }
}

}  // namespace

#if defined(CONVSWEEP_WITH_EMULATED)
TEST_CASE("emulated: fused layers train to the same bytes as layers one after another") { check_fused_on(emulated()); }
#endif
TEST_CASE("gpu: fused layers train to the same bytes as layers one after another") {
  if (const MakeBackend make = gpu()) check_fused_on(make);
}

TEST_CASE("what lies between fused layers takes no memory") {
  RecipeText text;
  text.layers = fusible_networks()[0].layers;
  const Recipe recipe = text.recipe();
  const Graph graph = build_graphs(recipe)[0];
  const OpTable& ops = make_backend("cpu", "auto")->ops();
  const Plan apart = make_plan(graph, ops, recipe, 1, false), together = make_plan(graph, ops, recipe, 1, true);
  // 5 calls and the flatten are left of 9 layers: relu and dropout went into the pool, relu into the product.
  CHECK(apart.passes.forward.size() == 9);
  CHECK(together.passes.forward.size() == 6);
  CHECK(together.passes.backward.size() == 6);
  // The dropped-out copy of 3 x 6 x 6 values of 8 images.
  CHECK(together.work_bytes + 3 * 6 * 6 * 8 * 4 <= apart.work_bytes);
}

TEST_CASE("a profile names each call, counts its work and changes nothing") {
  RecipeText text;
  text.layers = fusible_networks()[1].layers;
  text.test_at_end = false;
  text.validation = 0;
  auto backend = make_profiling_backend(make_backend("cpu", "auto"));
  ProfilingBackend& profile = *backend;
  const auto session = open_on(text, std::move(backend));
  session->add_lane(3, default_values, std::nullopt);
  run_to_end(*session);
  CHECK(session->save_lane(0) == trained_on(text, make_backend("cpu", "auto")));

  const std::vector<LayerTime> times = profile.take();
  const auto find = [&](int layer, const std::string& op, const std::string& direction) {
    const auto at = std::find_if(times.begin(), times.end(), [&](const LayerTime& time) {
      return time.layer == layer && time.op == op && time.direction == direction;
    });
    REQUIRE(at != times.end());
    return *at;
  };
  // 3 epochs of 8 batches of 8.
  const LayerTime first = find(0, "conv2d", "forward"), back = find(0, "conv2d", "backward");
  CHECK(first.calls == 24);
  CHECK(first.seconds > 0);
  // 3 filters of 2 x 3 x 3 at 6 x 6 places; backward for the weights alone, as nothing before it learns.
  CHECK(first.flops == 24.0 * 8 * 2 * 3 * 18 * 36);
  CHECK(back.flops == first.flops);
  CHECK(find(3, "conv2d", "backward").flops == 2 * find(3, "conv2d", "forward").flops);
  // A convolution moves 2 x 6 x 6 values of 8 images, its filters, and 3 x 6 x 6 values; a flatten in place nothing.
  CHECK(first.bytes == 24.0 * 4 * (8 * (2 + 3) * 36 + 3 * 18));
  int flattens = 0;
  for (const LayerTime& time : times) {
    if (time.op != "flatten") continue;
    ++flattens;
    CHECK(time.calls == 24);
    CHECK(time.bytes == 0);
  }
  CHECK(flattens == 2);
  CHECK(find(-1, "gather", "").calls == 24);
  CHECK(find(-1, "adam", "").calls == 24);
  CHECK(find(-1, "softmax_cross_entropy", "").calls == 24);
  CHECK(profile.take().empty());
}

TEST_CASE("a profile counts the work of recurrent layers") {
  RecipeText text;
  text.layers = R"([{"op":"rows_as_sequence"},)"
                R"({"op":"lstm","units":5,"return_sequences":true,"init":"torch_uniform"},)"
                R"({"op":"lstm","units":3,"return_sequences":false,"init":"torch_uniform"},)"
                R"({"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  text.test_at_end = false;
  text.validation = 0;
  auto backend = make_profiling_backend(make_backend("cpu", "auto"));
  ProfilingBackend& profile = *backend;
  const auto session = open_on(text, std::move(backend));
  session->add_lane(3, default_values, std::nullopt);
  run_to_end(*session);
  double forward[2] = {0, 0}, backward[2] = {0, 0};
  int at = 0;
  for (const LayerTime& time : profile.take()) {
    if (time.op != "lstm") continue;
    double* const sums = time.direction == "forward" ? forward : backward;
    sums[at / 2] += time.flops;
    ++at;
  }
  CHECK(at == 4);
  // 3 epochs of 8 batches of 8, 6 steps of 4 gates; an image's row has 2 x 6 values, which learn nothing.
  const double steps = 24.0 * 8 * 6 * 4 * 2;
  CHECK(forward[0] == steps * 5 * (12 + 5));
  CHECK(backward[0] == steps * 5 * (12 + 5 + 5));
  CHECK(forward[1] == steps * 3 * (5 + 3));
  CHECK(backward[1] == 2 * forward[1]);
}
