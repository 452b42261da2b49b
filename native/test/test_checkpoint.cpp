// Checkpoints: going on from any batch gives the same bytes; everything damaged or foreign is refused and named.
#include "session/checkpoint.h"

#include "convsweep/version.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

std::vector<std::uint8_t> start_checkpoint(const RecipeText& text = {}) {
  const auto session = open_session(text, 1);
  session->add_lane(7, default_values, std::nullopt);
  session->run_slice({1000, 3});
  return session->save_lane(0);
}

Error refused(const std::vector<std::uint8_t>& bytes, const RecipeText& text = {}) {
  const auto session = open_session(text, 1);
  const Error error = thrown_by([&] { session->add_lane(7, default_values, bytes); });
  // Nothing came of it: the lane is still free.
  CHECK(session->add_lane(7, default_values, std::nullopt) == 0);
  return error;
}

}  // namespace

TEST_CASE("crc32: known answer") {
  const std::string text = "123456789";
  const std::vector<std::uint8_t> bytes(text.begin(), text.end());
  CHECK(crc32(bytes) == 0xCBF43926u);
  CHECK(crc32({}) == 0);
}

TEST_CASE("going on from a checkpoint gives the same bytes, whatever batch it was taken at") {
  for (const std::string optimizer : {"sgd", "adam"}) {
    RecipeText text;
    text.optimizer = optimizer;
    const auto whole = open_session(text, 1);
    whole->add_lane(7, default_values, std::nullopt);
    std::vector<LaneReport> reports;
    std::vector<double> losses;
    for (SliceState state = SliceState::more; state == SliceState::more;) {
      const SliceResult result = whole->run_slice({1000, 1});
      reports.insert(reports.end(), result.reports.begin(), result.reports.end());
      losses.push_back(result.positions[0].loss);
      state = result.state;
    }
    const std::vector<std::uint8_t> end = whole->save_lane(0);

    // An epoch is 7 training and 2 validation batches; the last has 2 of the test set. Moves from session to session
    // after every batch.
    std::vector<std::uint8_t> bytes;
    std::vector<LaneReport> seen;
    int batches = 0;
    for (SliceState state = SliceState::more; state == SliceState::more; ++batches) {
      const auto session = open_session(text, 2, 1 + batches % 2);
      if (batches % 3 == 1) session->add_lane(1, default_values, std::nullopt);
      const int lane = session->add_lane(
          7, default_values, bytes.empty() ? std::nullopt : std::optional<std::span<const std::uint8_t>>(bytes));
      if (lane == 1) session->remove_lane(0);
      const SliceResult result = session->run_slice({1000, 1});
      seen.insert(seen.end(), result.reports.begin(), result.reports.end());
      REQUIRE(batches < static_cast<int>(losses.size()));
      CHECK(result.positions[0].loss == losses[static_cast<std::size_t>(batches)]);
      state = result.state;
      bytes = session->save_lane(lane);
    }
    CHECK(batches == 3 * 9 + 2);
    CHECK(bytes == end);
    REQUIRE(seen.size() == reports.size());
    for (std::size_t i = 0; i < seen.size(); ++i) {
      REQUIRE(seen[i].metrics.size() == reports[i].metrics.size());
      for (const auto& [name, value] : reports[i].metrics) {
        CAPTURE(name);
        CHECK(seen[i].metric(name) == value);
      }
    }
    // What is compared is not all zero.
    CHECK(seen.back().metric("train_accuracy") > 0);
    CHECK(seen.back().metric("learning_rate") > 0);
  }
}

TEST_CASE("a finished lane stays finished") {
  const RecipeText text;
  const auto whole = open_session(text, 1);
  whole->add_lane(7, default_values, std::nullopt);
  run_to_end(*whole);
  const auto again = open_session(text, 1);
  const std::vector<std::uint8_t> bytes = whole->save_lane(0);
  again->add_lane(7, default_values, bytes);
  const SliceResult result = again->run_slice({});
  CHECK(result.state == SliceState::idle);
  CHECK(result.reports.empty());
  CHECK(again->save_lane(0) == bytes);
}

TEST_CASE("new hyperparameters take the place of those in the checkpoint") {
  const std::vector<std::uint8_t> bytes = start_checkpoint();
  const auto session = open_session(RecipeText{}, 1);
  Hyperparameters still = default_values;
  still[0] = 0;
  session->add_lane(7, still, bytes);
  const std::vector<float> before = session->weights(0);
  session->run_slice({1000, 1});
  // Only the running statistics of batch_norm (places 63 to 68) may move at learning rate 0.
  std::vector<float> after = session->weights(0);
  for (std::size_t i = 63; i < 69; ++i) after[i] = before[i];
  CHECK(after == before);
}

TEST_CASE("every damaged byte and every cut is noticed") {
  const std::vector<std::uint8_t> good = start_checkpoint();
  const auto session = open_session(RecipeText{}, 1);
  int corrupt = 0, tried = 0;
  const auto attempt = [&](const std::vector<std::uint8_t>& bytes) {
    ++tried;
    const Error error = thrown_by([&] { session->add_lane(7, default_values, bytes); });
    corrupt += error.code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT ? 1 : 0;
  };
  for (std::size_t i = 0; i < good.size(); i += i < 300 ? 1 : 37) {
    std::vector<std::uint8_t> bytes = good;
    bytes[i] ^= 0x40;
    attempt(bytes);
    attempt(std::vector<std::uint8_t>(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(i)));
  }
  std::vector<std::uint8_t> longer = good;
  longer.push_back(0);
  attempt(longer);
  CHECK(corrupt == tried);
  CHECK(session->add_lane(7, default_values, good) == 0);
}

TEST_CASE("what was made elsewhere is refused by name") {
  const std::vector<std::uint8_t> good = start_checkpoint();
  RecipeText other;
  other.batch = 9;
  const Error recipe = refused(good, other);
  CHECK(recipe.code() == ErrorCode::ENGINE_FOREIGN_CHECKPOINT);
  CHECK(std::string(recipe.what()).find("another recipe") != std::string::npos);

  const Recipe same = RecipeText{}.recipe();
  LaneImage image;
  const Error device = refused(write_checkpoint(image, same.digest, "cuda float32 9.9.9"));
  CHECK(device.code() == ErrorCode::ENGINE_FOREIGN_CHECKPOINT);
  CHECK(std::string(device.what()).find("cuda float32 9.9.9") != std::string::npos);

  std::vector<std::uint8_t> future = good;
  future[8] = 2;
  const std::uint32_t crc = crc32(std::span(future).first(future.size() - 4));
  std::memcpy(future.data() + future.size() - 4, &crc, 4);
  const Error version = refused(future);
  CHECK(version.code() == ErrorCode::ENGINE_FOREIGN_CHECKPOINT);
  CHECK(std::string(version.what()).find("version 2") != std::string::npos);
}

TEST_CASE("well-formed bytes that do not fit the network are refused") {
  const auto session = open_session(RecipeText{}, 1);
  const std::uint64_t digest = RecipeText{}.recipe().digest;
  const std::string fingerprint = "cpu float32 " + std::string(engine_version);
  LaneImage image;
  image.parameters.resize(5);
  CHECK(refused(write_checkpoint(image, digest, fingerprint)).code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT);
  image = read_checkpoint(start_checkpoint(), digest, fingerprint);
  for (const auto& [epoch, batch] : {std::pair{3u, 0u}, std::pair{4u, 0u}, std::pair{0u, 7u}}) {
    image.state.epoch = epoch;
    image.state.batch = batch;
    CHECK(refused(write_checkpoint(image, digest, fingerprint)).code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT);
  }
  // One more than there are.
  const LaneImage good = read_checkpoint(start_checkpoint(), digest, fingerprint);
  image = good;
  image.state.status = static_cast<LaneStatus>(4);
  CHECK(refused(write_checkpoint(image, digest, fingerprint)).code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT);
  image = good;
  image.state.phase = static_cast<Phase>(4);
  CHECK(refused(write_checkpoint(image, digest, fingerprint)).code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT);
  image.state.status = LaneStatus::diverged_loss;
  CHECK(refused(write_checkpoint(image, digest, fingerprint)).code() == ErrorCode::ENGINE_CORRUPT_CHECKPOINT);
}

TEST_CASE("a diverged lane's checkpoint holds the sums of the batches before, and stays diverged") {
  RecipeText text;
  text.layers = R"([{"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  text.optimizer = "sgd";
  text.schedule = R"({"kind":"constant"})";
  const auto session = open_session(text, 1);
  session->add_lane(7, default_values, std::nullopt);
  session->run_slice({1000, 3});
  const std::string fingerprint = "cpu float32 " + std::string(engine_version);
  const Recipe recipe = text.recipe();
  const LaneImage before = read_checkpoint(session->save_lane(0), recipe.digest, fingerprint);
  CHECK(before.state.train.labels == 3 * 8);
  session->load_weights(0, std::vector<float>(session->weights(0).size(), 3e38F));
  const SliceResult result = session->run_slice({1000, 1});
  REQUIRE(result.diverged.size() == 1);
  CHECK(result.diverged[0].step == 4);
  const std::vector<std::uint8_t> bytes = session->save_lane(0);
  const LaneImage after = read_checkpoint(bytes, recipe.digest, fingerprint);
  CHECK(after.state.status == LaneStatus::diverged_loss);
  CHECK(after.state.train.loss_sum == before.state.train.loss_sum);
  CHECK(after.state.train.correct == before.state.train.correct);
  CHECK(after.state.train.labels == before.state.train.labels);
  const auto again = open_session(text, 1);
  again->add_lane(7, default_values, bytes);
  CHECK(again->run_slice({1000, 1}).state == SliceState::idle);
  CHECK(again->save_lane(0) == bytes);
}
