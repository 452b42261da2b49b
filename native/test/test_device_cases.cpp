// Every operation's cases and whole small networks through the device backend: on the host emulator always, and, in the
// cases whose name begins with "gpu", on the first CUDA device that there is. bench/gpu.sh runs the latter.
#include "backend/reference/reference_backend.h"
#include "device_support.h"
#include "op_cases.h"
#include "session_support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

void run_on(Backend& backend, LayerRun<float>& run, bool training) {
  const auto context = backend.context(nullptr);
  const LayerKernels& kernels = backend.ops().layer(run.shape.op);
  LayerCall call = run.call(training);
  Moved moved(backend);
  moved.move(call.x, run.x.size());
  moved.move(call.y, run.y.size());
  moved.move(call.dy, run.dy.size());
  moved.move(call.dx, run.dx.size());
  moved.move(call.weight, run.weight.size());
  moved.move(call.bias, run.bias.size());
  moved.move(call.dweight, run.dweight.size());
  moved.move(call.dbias, run.dbias.size());
  moved.move(call.running_mean, run.mean.size());
  moved.move(call.running_var, run.var.size());
  moved.move(call.saved, run.saved.size());
  call.scratch = {static_cast<std::byte*>(moved.fresh(kernels.scratch_bytes(run.shape, run.n, 1) + 64)), 0};
  void* const scalars = moved.fresh(sizeof(LaneScalars));
  backend.copy_in(scalars, &run.scalars, sizeof(LaneScalars));
  call.scalars = static_cast<const LaneScalars*>(scalars);
  kernels.forward(*context, call);
  if (training) kernels.backward(*context, call);
  moved.fetch();
}

// Against the reference in double precision, within the case's tolerance.
void check_layers(const MakeBackend& make) {
  const std::unique_ptr<Backend> backend = make();
  for (const LayerCase& which : layer_cases()) {
    for (const bool training : {true, false}) {
      CAPTURE(which.name);
      CAPTURE(training);
      LayerRun<float> found(which);
      LayerRun<double> wanted(which);
      const auto round = [](Guarded<double>& to, const Guarded<float>& from) {
        for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(from[i]);
      };
      round(wanted.x, found.x);
      round(wanted.dy, found.dy);
      round(wanted.weight, found.weight);
      round(wanted.bias, found.bias);
      round(wanted.mean, found.mean);
      round(wanted.var, found.var);
      reference::layer_forward(wanted.call(training));
      if (training) reference::layer_backward(wanted.call(true));
      run_on(*backend, found, training);
      CHECK(distance(found.y, wanted.y) <= which.tolerance);
      CHECK(distance(found.dx, wanted.dx) <= which.tolerance);
      CHECK(distance(found.dweight, wanted.dweight) <= which.tolerance);
      CHECK(distance(found.dbias, wanted.dbias) <= which.tolerance);
      CHECK(distance(found.mean, wanted.mean) <= which.tolerance);
      CHECK(distance(found.var, wanted.var) <= which.tolerance);
    }
  }
}

std::unique_ptr<Session> open_on(const MakeBackend& make, const RecipeText& text, int lanes) {
  SessionConfig config;
  config.recipe = text.recipe();
  config.dataset = small_dataset();
  config.backend = make();
  config.lanes = lanes;
  return std::make_unique<Session>(std::move(config));
}

// After tinycnn, lenet, convnet5 and a residual network, for the small images.
std::vector<std::pair<std::string, std::string>> small_networks() {
  const auto conv = [](int filters, int side, const std::string& padding, bool bias) {
    const std::string kernel = std::to_string(side) + "," + std::to_string(side);
    return R"({"op":"conv2d","filters":)" + std::to_string(filters) + R"(,"kernel":[)" + kernel +
           R"(],"stride":[1,1],"padding":")" + padding + R"(","groups":1,"bias":)" + (bias ? "true" : "false") +
           R"(,"init":"he_normal"})";
  };
  const auto linear = [](int units) {
    return R"({"op":"linear","units":)" + std::to_string(units) + R"(,"bias":true,"init":"torch_uniform"})";
  };
  const std::string relu = R"({"op":"relu"})", tanh = R"({"op":"tanh"})", flatten = R"({"op":"flatten"})";
  const std::string norm = R"({"op":"batch_norm","momentum":0.1,"epsilon":1e-5})";
  const std::string drop = R"({"op":"dropout","rate":0.25})";
  const std::string pool = R"({"op":"max_pool2d","size":[2,2],"stride":[2,2],"padding":"valid"})";
  const auto list = [](const std::vector<std::string>& layers) {
    std::string text;
    for (const std::string& layer : layers) text += (text.empty() ? "[" : ",") + layer;
    return text + "]";
  };
  const std::string block = R"({"op":"residual","body":)" +
                            list({conv(4, 3, "same", false), norm, relu, conv(4, 3, "same", false), norm}) +
                            R"(,"shortcut":[]})";
  return {{"tinycnn", list({conv(4, 2, "same", true), relu, conv(4, 2, "same", true), relu, pool, flatten, linear(16),
                            relu, linear(4)})},
          {"lenet", list({conv(6, 3, "valid", true), tanh, pool, flatten, linear(20), tanh, linear(4)})},
          {"convnet5", list({conv(4, 3, "same", false), norm, relu, conv(6, 3, "same", false), norm, relu, pool, drop,
                             flatten, linear(12), norm, relu, drop, linear(4)})},
          {"residual", list({conv(4, 3, "same", false), norm, relu, block, relu, R"({"op":"global_avg_pool2d"})",
                             flatten, linear(4)})}};
}

// Ten steps: within 1e-4 of the largest weight of the CPU's; alone and among others the same bytes; and a checkpoint
// moves from the CPU to the device and back.
void check_networks(const MakeBackend& make) {
  for (const auto& [name, layers] : small_networks()) {
    CAPTURE(name);
    RecipeText text;
    text.layers = layers;
    text.optimizer = "momentum";
    text.epochs = 10;
    text.validation = 0;
    text.test_at_end = false;
    const auto near = open_session(text, 1), alone = open_on(make, text, 1), among = open_on(make, text, 3);
    near->add_lane(2, default_values, std::nullopt);
    near->run_slice({1e6, 10});
    alone->add_lane(2, default_values, std::nullopt);
    alone->run_slice({1e6, 10});
    for (std::uint64_t seed = 0; seed < 3; ++seed) among->add_lane(seed, default_values, std::nullopt);
    among->run_slice({1e6, 10});
    CHECK(distance(alone->weights(0), near->weights(0)) <= 1e-4);
    CHECK(alone->save_lane(0) == among->save_lane(2));

    // Four steps on the CPU, three on the device, three on the CPU.
    const auto first = open_session(text, 1), last = open_session(text, 1), middle = open_on(make, text, 2);
    first->add_lane(2, default_values, std::nullopt);
    first->run_slice({1e6, 4});
    const std::vector<std::uint8_t> saved = first->save_lane(0);
    const Error refused = thrown_by([&] { middle->add_lane(2, default_values, saved); });
    CHECK(refused.code() == ErrorCode::ENGINE_FOREIGN_CHECKPOINT);
    middle->add_lane(2, default_values, saved, true);
    CHECK(middle->weights(0) == first->weights(0));
    middle->run_slice({1e6, 3});
    last->add_lane(2, default_values, middle->save_lane(0), true);
    CHECK(last->weights(0) == middle->weights(0));
    const SliceResult end = last->run_slice({1e6, 3});
    CHECK(end.positions[0].step == 10);
    CHECK(distance(last->weights(0), near->weights(0)) <= 1e-4);
  }
}

}  // namespace

#if defined(CONVSWEEP_WITH_EMULATED)
TEST_CASE("emulated: every layer's cases through the device backend") { check_layers(emulated()); }
TEST_CASE("emulated: small networks agree with the CPU, alone, among others, and moved") { check_networks(emulated()); }
#endif

TEST_CASE("gpu: every layer's cases against the reference") {
  if (const MakeBackend make = gpu()) check_layers(make);
}
TEST_CASE("gpu: small networks agree with the CPU, alone, among others, and moved") {
  if (const MakeBackend make = gpu()) check_networks(make);
}
