// Sessions: invariance, metrics against the reference, slices, divergence, and every method used wrongly.
#include "convsweep/session.h"

#include <atomic>
#include <thread>

#include "backend/cpu/kernels.h"
#include "model/graph.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const cpu::Isa isa : {cpu::Isa::scalar, cpu::Isa::avx2, cpu::Isa::avx512}) {
    if (cpu::isa_supported(isa) && cpu::kernels_for(isa) != nullptr) names.emplace_back(cpu::isa_name(isa));
  }
  return names;
}

std::vector<std::uint8_t> trained_alone(const RecipeText& text, std::uint64_t seed, const std::string& isa, int threads,
                                        int batches = 0) {
  const auto session = open_session(text, 1, threads, "cpu", isa);
  session->add_lane(seed, default_values, std::nullopt);
  run_to_end(*session, batches);
  return session->save_lane(0);
}

}  // namespace

TEST_CASE("a lane gives the same bytes alone, among others, on any threads, instructions and slices") {
  for (const std::string optimizer : {"sgd", "momentum", "rmsprop", "adam", "adamw"}) {
    RecipeText text;
    text.optimizer = optimizer;
    const std::vector<std::uint8_t> alone = trained_alone(text, 5, "scalar", 1);
    for (const std::string& isa : instruction_sets()) {
      CAPTURE(isa);
      for (const int threads : {1, 2, 3}) {
        CHECK(trained_alone(text, 5, isa, threads, threads) == alone);
        const auto cohort = open_session(text, 8, threads, "cpu", isa);
        for (std::uint64_t seed = 0; seed < 8; ++seed) {
          Hyperparameters values = default_values;
          if (seed != 5) values[0] = 0.001 * static_cast<double>(seed + 1);
          cohort->add_lane(seed, values, std::nullopt);
        }
        run_to_end(*cohort, 3);
        CHECK(cohort->save_lane(5) == alone);
        CHECK(cohort->save_lane(4) != alone);
      }
    }
  }
}

TEST_CASE("lanes may come and go without their neighbours noticing") {
  const RecipeText text;
  const std::vector<std::uint8_t> alone = trained_alone(text, 9, "auto", 1);
  const auto session = open_session(text, 3, 2);
  session->add_lane(1, default_values, std::nullopt);
  const int lane = session->add_lane(9, default_values, std::nullopt);
  SliceLimits two;
  two.max_batches = 2;
  session->run_slice(two);
  session->remove_lane(0);
  session->add_lane(2, default_values, std::nullopt);
  session->add_lane(3, default_values, std::nullopt);
  session->run_slice(two);
  session->remove_lane(2);
  run_to_end(*session, 5);
  CHECK(session->save_lane(lane) == alone);
}

TEST_CASE("the CPU trains as the reference does") {
  for (const std::string optimizer : {"sgd", "momentum", "rmsprop", "adam", "adamw"}) {
    CAPTURE(optimizer);
    RecipeText text;
    text.optimizer = optimizer;
    // Without a bias before batch_norm: its gradient is 0 but for rounding, and rmsprop and adam blow that up.
    text.layers.replace(text.layers.find("true"), 4, "false");
    const auto found = open_session(text, 1), wanted = open_session(text, 1, 1, "reference");
    for (Session* session : {found.get(), wanted.get()}) session->add_lane(3, default_values, std::nullopt);
    const std::vector<LaneReport> a = run_to_end(*found), b = run_to_end(*wanted);
    REQUIRE(a.size() == 3);
    REQUIRE(b.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(a[i].metric("train_loss") == doctest::Approx(b[i].metric("train_loss")).epsilon(1e-4));
      CHECK(a[i].metric("val_loss") == doctest::Approx(b[i].metric("val_loss")).epsilon(1e-4));
      CHECK(a[i].metric("learning_rate") == b[i].metric("learning_rate"));
      CHECK(a[i].step == 7 * (i + 1));  // 60 images trained on, batches of 8, the last 4 dropped
    }
    CHECK(distance(found->weights(0), wanted->weights(0)) < 1e-4);
  }
}

TEST_CASE("reports say what the epoch was") {
  RecipeText text;
  text.schedule = R"({"kind":"list","factors":[1,0.5]})";
  const auto session = open_session(text, 1);
  session->add_lane(3, default_values, std::nullopt);
  const std::vector<LaneReport> reports = run_to_end(*session);
  REQUIRE(reports.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    const LaneReport& r = reports[i];
    CHECK(r.epoch == i + 1);
    CHECK(r.metric("learning_rate") == (i == 0 ? 0.01 : 0.005));
    CHECK(r.finished == (i == 2));
    CHECK(std::isnan(r.metric("test_loss")) == (i != 2));
    // Counts over 56, 10 and 13 images.
    CHECK(std::fabs(r.metric("train_accuracy") * 56 - std::round(r.metric("train_accuracy") * 56)) < 1e-9);
    CHECK(std::fabs(r.metric("val_accuracy") * 10 - std::round(r.metric("val_accuracy") * 10)) < 1e-9);
    CHECK(r.images_per_second > 0);
  }
  CHECK(reports[2].metric("train_loss") < reports[0].metric("train_loss"));
  CHECK(std::fabs(reports[2].metric("test_accuracy") * 13 - std::round(reports[2].metric("test_accuracy") * 13)) < 1e-9);
}

TEST_CASE("evaluation does not depend on the batch size, and no validation set is no number") {
  RecipeText text;
  text.shuffle = false;
  text.layers = R"([{"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  Hyperparameters still = default_values;
  still[0] = 0;
  double first = 0;
  for (const int batch : {1, 3, 7, 10, 60}) {
    text.batch = batch;
    const auto session = open_session(text, 1);
    session->add_lane(3, still, std::nullopt);
    const double loss = run_to_end(*session)[0].metric("val_loss");
    if (batch == 1) first = loss;
    CHECK(loss == doctest::Approx(first).epsilon(1e-7));
  }
  text.validation = 0;
  text.batch = 8;
  const auto session = open_session(text, 1);
  session->add_lane(3, still, std::nullopt);
  CHECK(std::isnan(run_to_end(*session)[0].metric("val_loss")));
}

TEST_CASE("a diverged lane stops and says so once; its neighbour goes on") {
  RecipeText text;
  text.optimizer = "sgd";
  text.layers = R"([{"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  const std::vector<std::uint8_t> alone = trained_alone(text, 2, "auto", 1);
  const auto session = open_session(text, 2, 2);
  Hyperparameters wild = default_values;
  wild[0] = 1e6;
  wild[1] = 1e6;
  session->add_lane(1, wild, std::nullopt);
  session->add_lane(2, default_values, std::nullopt);
  int told = 0;
  for (SliceState state = SliceState::more; state == SliceState::more;) {
    SliceLimits one;
    one.max_batches = 1;
    const SliceResult result = session->run_slice(one);
    told += static_cast<int>(result.diverged.size());
    for (const LaneDivergence& d : result.diverged) CHECK(d.lane == 0);
    state = result.state;
  }
  CHECK(told == 1);
  CHECK(session->save_lane(1) == alone);
}

TEST_CASE("the control word ends a slice, and the other counts") {
  std::int32_t control[2] = {0, 0};
  RecipeText text;
  text.epochs = 100000;
  const auto session = open_session(text, 2, 2, "cpu", "auto", control);
  session->add_lane(1, default_values, std::nullopt);
  session->add_lane(2, default_values, std::nullopt);
  std::thread stopper([&control] {
    while (std::atomic_ref<std::int32_t>(control[1]).load() < 20) std::this_thread::yield();
    std::atomic_ref<std::int32_t>(control[0]).store(1);
  });
  SliceLimits day;
  day.max_millis = 86400000;
  CHECK(session->run_slice(day).state == SliceState::interrupted);
  stopper.join();
  const std::int32_t steps = control[1];
  CHECK(session->run_slice(day).state == SliceState::interrupted);
  CHECK(control[1] == steps);
  control[0] = 0;
  SliceLimits one;
  one.max_batches = 1;
  CHECK(session->run_slice(one).state == SliceState::more);
  // A batch of each of two equal lanes, and the operations on the way.
  const std::int32_t beats = control[1] - steps;
  CHECK(beats % 2 == 0);
  CHECK(beats > 2);
}

TEST_CASE("a slice without time still does a batch") {
  const auto session = open_session(RecipeText{}, 1);
  session->add_lane(1, default_values, std::nullopt);
  SliceLimits none;
  none.max_millis = 0;
  CHECK(session->run_slice(none).positions[0].step == 1);
}

TEST_CASE("weights go out and in, in layer order") {
  const auto session = open_session(RecipeText{}, 2);
  session->add_lane(1, default_values, std::nullopt);
  session->add_lane(2, default_values, std::nullopt);
  std::vector<std::string> names;
  for (const Tensor& tensor : session->tensors()) names.push_back(tensor.name);
  CHECK(names == std::vector<std::string>{"0.conv2d.weight", "0.conv2d.bias", "1.batch_norm.weight",
                                          "1.batch_norm.bias", "1.batch_norm.running_mean", "1.batch_norm.running_var",
                                          "6.linear.weight", "6.linear.bias"});
  const std::vector<float> one = session->weights(0);
  CHECK(one.size() == 3 * 2 * 9 + 3 + 4 * 3 + 4 * 27 + 4);
  CHECK(one != session->weights(1));
  session->load_weights(1, one);
  CHECK(one == session->weights(1));
  // Biases and running means start at 0, batch_norm's weight and running variance at 1.
  for (const std::size_t i : {54, 55, 56, 60, 61, 62, 63, 64, 65}) CHECK(one[i] == 0.0F);
  for (const std::size_t i : {57, 58, 59, 66, 67, 68}) CHECK(one[i] == 1.0F);
}

TEST_CASE("every method used wrongly") {
  const RecipeText text;
  const auto session = open_session(text, 1);
  const auto code = [](auto body) { return error_code_name(thrown_by(body).code()); };
  const std::string bad = "ENGINE_BAD_ARGUMENT";
  for (const int lane : {-1, 0, 1, 1000}) {  // none is in use
    CHECK(code([&] { session->remove_lane(lane); }) == bad);
    CHECK(code([&] { session->set_hyperparameters(lane, default_values); }) == bad);
    CHECK(code([&] { session->save_lane(lane); }) == bad);
    CHECK(code([&] { session->weights(lane); }) == bad);
    CHECK(code([&] { session->load_weights(lane, {}); }) == bad);
  }
  for (int i = 0; i < hyper_count; ++i) {
    for (const double wrong : {-1.0, static_cast<double>(INFINITY)}) {
      Hyperparameters values = default_values;
      values[static_cast<std::size_t>(i)] = wrong;
      CHECK(code([&] { session->add_lane(1, values, std::nullopt); }) == bad);
    }
  }
  session->add_lane(1, default_values, std::nullopt);
  CHECK(code([&] { session->add_lane(2, default_values, std::nullopt); }) == std::string("ENGINE_LANES_FULL"));
  CHECK(code([&] { session->load_weights(0, std::vector<float>(3)); }) == bad);
  CHECK(code([&] { session->load_weights(0, std::vector<float>(session->weights(0).size(), NAN)); }) == bad);
  CHECK(code([&] { session->run_slice({-1.0, std::nullopt}); }) == bad);
  CHECK(code([&] { session->run_slice({static_cast<double>(NAN), std::nullopt}); }) == bad);
  CHECK(code([&] { session->run_slice({1.0, 0}); }) == bad);
  CHECK(code([&] { open_session(text, 0); }) == bad);
  CHECK(code([&] { open_session(text, 1, 0); }) == bad);
  CHECK(code([&] { open_session(text, 1, 1, "cpu", "sse"); }) == bad);
  CHECK(code([&] { open_session(text, 1, 1, "tpu"); }) == std::string("ENGINE_NO_DEVICE"));

  session->close();
  session->close();
  const std::string closed = "ENGINE_CLOSED";
  CHECK(code([&] { session->add_lane(1, default_values, std::nullopt); }) == closed);
  CHECK(code([&] { session->remove_lane(0); }) == closed);
  CHECK(code([&] { session->set_hyperparameters(0, default_values); }) == closed);
  CHECK(code([&] { session->save_lane(0); }) == closed);
  CHECK(code([&] { session->run_slice({}); }) == closed);
  CHECK(code([&] { session->weights(0); }) == closed);
  CHECK(code([&] { session->load_weights(0, {}); }) == closed);
  CHECK(code([&] { session->memory(); }) == closed);
  CHECK(code([&] { session->tensors(); }) == closed);
}

TEST_CASE("a session that the machine cannot hold is refused with its size") {
  RecipeText huge;
  huge.layers = R"([{"op":"flatten"},{"op":"linear","units":3000000,"bias":true,"init":"he_normal"},)"
                R"({"op":"linear","units":4,"bias":true,"init":"he_normal"}])";
  CHECK(thrown_by([&] { open_session(huge, 65535); }).code() == ErrorCode::ENGINE_OUT_OF_MEMORY);
}
