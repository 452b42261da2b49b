// Sessions on the device backend with the CUDA kernels on the host emulator: whole cohorts train through them.
#if defined(CONVSWEEP_WITH_EMULATED)
#include <cstring>

#include "backend/device_backend.h"
#include "emulator/cuda_emu.h"
#include "emulator/emulated_runtime.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

struct Emulated {
  emulator::EmulatedDevice state;
  std::shared_ptr<device::Device> device = device::open_device(emulator::open_runtime(state));

  std::unique_ptr<Session> open(const RecipeText& text, int lanes) {
    SessionConfig config;
    config.recipe = text.recipe();
    config.dataset = small_dataset();
    config.backend = make_device_backend(device);
    config.lanes = lanes;
    return std::make_unique<Session>(std::move(config));
  }
};

// One epoch of three batches, one of validation.
RecipeText short_recipe() {
  RecipeText text;
  text.epochs = 1;
  text.batch = 20;
  text.test_at_end = false;
  return text;
}

}  // namespace

TEST_CASE("emulated: a cohort trains as on the CPU, within tolerance") {
  Emulated emulated;
  RecipeText text;
  text.epochs = 1;
  // Adam would make a step of a gradient that is nothing but rounding: that of the bias in front of a batch norm.
  text.optimizer = "momentum";
  const auto far = emulated.open(text, 3), near = open_session(text, 3);
  for (Session* session : {far.get(), near.get()}) {
    for (std::uint64_t seed = 0; seed < 3; ++seed) session->add_lane(seed, default_values, std::nullopt);
  }
  const std::vector<LaneReport> found = run_to_end(*far), wanted = run_to_end(*near);
  REQUIRE(found.size() == 3);
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].step == wanted[i].step);
    for (const char* loss : {"train_loss", "val_loss", "test_loss"}) {
      CHECK(found[i].metric(loss) == doctest::Approx(wanted[i].metric(loss)).epsilon(1e-4));
    }
    CHECK(found[i].metric("learning_rate") == wanted[i].metric("learning_rate"));
  }
  for (const int lane : {0, 1, 2}) CHECK(distance(far->weights(lane), near->weights(lane)) <= 1e-4);
}

TEST_CASE("emulated: a lane alone and among others, with neighbours that come and go, gives the same bytes") {
  Emulated emulated;
  const RecipeText text = short_recipe();
  const auto alone = emulated.open(text, 1), among = emulated.open(text, 4);
  emulator::set_seed(1);
  alone->add_lane(7, default_values, std::nullopt);
  run_to_end(*alone);
  emulator::set_seed(2);
  among->add_lane(1, default_values, std::nullopt);
  among->add_lane(2, default_values, std::nullopt);
  const int lane = among->add_lane(7, default_values, std::nullopt);
  among->run_slice({1e6, 1});
  among->remove_lane(0);
  among->add_lane(5, default_values, std::nullopt);
  run_to_end(*among, 1);
  CHECK(alone->weights(0) == among->weights(lane));
  CHECK(alone->save_lane(0) == among->save_lane(lane));
}

TEST_CASE("emulated: batches that are replayed give the bytes of batches that are called") {
  Emulated recording, calling;
  calling.state.records = false;
  RecipeText text;
  text.epochs = 3;
  text.batch = 10;
  const auto replayed = recording.open(text, 3), called = calling.open(text, 3);
  for (Session* session : {replayed.get(), called.get()}) {
    for (std::uint64_t seed = 0; seed < 2; ++seed) session->add_lane(seed, default_values, std::nullopt);
    session->run_slice({1e6, 8});
    // Another set of lanes, one an epoch behind.
    session->add_lane(9, default_values, std::nullopt);
    run_to_end(*session);
  }
  for (const int lane : {0, 1, 2}) CHECK(replayed->save_lane(lane) == called->save_lane(lane));
  CHECK(recording.state.replays > 0);
  CHECK(calling.state.replays == 0);
}

TEST_CASE("emulated: sessions share the data set, and give all memory back") {
  Emulated emulated;
  const RecipeText text = short_recipe();
  {
    const auto first = emulated.open(text, 1);
    // The data set, the lanes and what they share.
    CHECK(emulated.state.open == 3);
    const auto second = emulated.open(text, 2);
    CHECK(emulated.state.open == 5);
  }
  CHECK(emulated.state.open == 0);
  CHECK(emulated.state.used == 0);
  const auto third = emulated.open(text, 1);
  CHECK(emulated.state.open == 3);
}

TEST_CASE("emulated: metrics come back at most once a batch") {
  Emulated emulated;
  RecipeText text;
  text.epochs = 2;
  text.validation = 0;
  text.test_at_end = false;
  const auto session = emulated.open(text, 1);
  session->add_lane(0, default_values, std::nullopt);
  const std::int64_t before = emulated.state.copies_out;
  run_to_end(*session);
  // 70 images, eight batches an epoch, and a check for finite weights.
  CHECK(emulated.state.copies_out - before <= 2 * 8 + 2);
  CHECK(emulated.state.copies_out - before >= 2 + 2);
}

TEST_CASE("emulated: lanes that do not fit are refused before anything is allocated, with how many do") {
  Emulated emulated;
  const RecipeText text = short_recipe();
  const auto backend = make_device_backend(emulated.device);
  constexpr int fit = 4;
  const SessionMemory plan = plan_session(text.recipe(), *backend, fit, 1);
  CHECK(plan.bytes_dataset >= 83 * 73);
  CHECK(plan.bytes_free == emulated.state.total);
  // To the byte.
  emulated.state.total = plan.bytes_dataset + plan.bytes_shared + fit * plan.bytes_per_lane;
  const Error error = thrown_by([&] { emulated.open(text, fit + 1); });
  CHECK(error.code() == ErrorCode::ENGINE_OUT_OF_MEMORY);
  CHECK(std::string(error.what()).find("enough for 4") != std::string::npos);
  // The data set alone was there, for a moment.
  CHECK(emulated.state.ever == 1);
  CHECK(emulated.state.used == 0);
  const auto session = emulated.open(text, fit);
  CHECK(session->memory().bytes_free == 0);
  session->close();
  emulated.state.total = plan.bytes_dataset - 1;
  CHECK(std::string(thrown_by([&] { emulated.open(text, 1); }).what()).find("data set") != std::string::npos);
}

TEST_CASE("emulated: memory that another process took meanwhile is out of memory, not a crash") {
  Emulated emulated;
  emulated.state.taken_meanwhile = true;
  CHECK(thrown_by([&] { emulated.open(short_recipe(), 1); }).code() == ErrorCode::ENGINE_OUT_OF_MEMORY);
  CHECK(emulated.state.open == 0);
}

TEST_CASE("emulated: a device lost at any point says so, from then on always, and its memory comes back") {
  const RecipeText text = short_recipe();
  int lost = 0;
  // Breaks at the first copy, then at the second, and so on until a whole run needs no more.
  for (std::int64_t works = 0;; ++works) {
    Emulated emulated;
    emulated.state.works_for = works;
    bool broke = false;
    try {
      const auto session = emulated.open(text, 2);
      session->add_lane(0, default_values, std::nullopt);
      try {
        run_to_end(*session);
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::ENGINE_DEVICE_LOST);
        CHECK(thrown_by([&] { session->run_slice({1e6, 1}); }).code() == ErrorCode::ENGINE_DEVICE_LOST);
        CHECK(thrown_by([&] { session->weights(0); }).code() == ErrorCode::ENGINE_DEVICE_LOST);
        CHECK(thrown_by([&] { session->save_lane(0); }).code() == ErrorCode::ENGINE_DEVICE_LOST);
        broke = true;
        session->close();
      }
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::ENGINE_DEVICE_LOST);
      broke = true;
    }
    CHECK(emulated.state.open == 0);
    if (!broke) break;
    ++lost;
  }
  CHECK(lost > 10);
}

#endif
