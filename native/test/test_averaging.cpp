// Weight averaging: the average against one worked out in double precision, its batch norm statistics against sums over
// the data set's bytes, and that nothing else changes.
#include <cmath>
#include <cstring>

#include "model/graph.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

namespace {

constexpr char normed[] = R"([{"op":"batch_norm","momentum":0.1,"epsilon":1e-5},{"op":"flatten"},)"
                          R"({"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";

RecipeText averaging(const std::string& text) {
  RecipeText recipe;
  recipe.epochs = 5;
  recipe.averaging = text;
  return recipe;
}

std::vector<LaneReport> train(Session& session) {
  session.add_lane(7, default_values, std::nullopt);
  return run_to_end(session);
}

// Weights after each epoch.
std::vector<std::vector<float>> weights_by_epoch(const RecipeText& recipe) {
  const auto session = open_session(recipe, 1);
  session->add_lane(7, default_values, std::nullopt);
  std::vector<std::vector<float>> all;
  for (;;) {
    const SliceResult result = session->run_slice({1000, 1});
    if (!result.reports.empty()) all.push_back(session->weights(0));
    if (result.state == SliceState::idle) return all;
  }
}

}  // namespace

TEST_CASE("averaging: what is measured and given away is the mean of the epochs' weights") {
  RecipeText plain;
  plain.epochs = 5;
  const std::vector<std::vector<float>> single = weights_by_epoch(plain);
  REQUIRE(single.size() == 5);
  const auto check = [&](const std::string& text, int start, int every) {
    const std::vector<std::vector<float>> found = weights_by_epoch(averaging(text));
    REQUIRE(found.size() == 5);
    const auto session = open_session(plain, 1);
    std::vector<double> sum(single[0].size(), 0.0);
    int taken = 0;
    for (int epoch = 0; epoch < 5; ++epoch) {
      const auto e = static_cast<std::size_t>(epoch);
      const bool takes = epoch >= start && (epoch - start) % every == 0;
      if (takes) ++taken;
      std::size_t at = 0;
      for (const Tensor& tensor : session->tensors()) {
        for (std::int64_t i = 0; i < tensor.size; ++i, ++at) {
          if (takes) sum[at] += static_cast<double>(single[e][at]);
          if (taken == 0) {
            // Nothing is averaged yet, so nothing differs.
            CHECK(found[e][at] == single[e][at]);
          } else if (!tensor.statistic) {
            CHECK(std::abs(found[e][at] - sum[at] / taken) <= 1e-6 * (1 + std::abs(sum[at])));
          }
        }
      }
    }
  };
  check(R"({"start":2,"every":1})", 2, 1);
  check(R"({"start":1,"every":2})", 1, 2);
  check(R"({"start":5,"every":1})", 5, 1);
}

TEST_CASE("averaging: batch norm statistics are means over the epoch's batches") {
  RecipeText recipe = averaging(R"({"start":4,"every":1})");
  recipe.layers = normed;
  recipe.shuffle = recipe.flip = false;
  recipe.crop = 0;
  const auto session = open_session(recipe, 1);
  train(*session);
  const std::vector<float> weights = session->weights(0);
  const Dataset& data = *small_dataset();
  // As the data set is normalised over the 60 training images; 7 batches of 8 of them are trained.
  constexpr int trained = 60, batch = 8, batches = 7, plane = 36;
  for (int channel = 0; channel < 2; ++channel) {
    const auto byte = [&](int image, int p) {
      return static_cast<double>(data.images[static_cast<std::size_t>(image * 72 + channel * plane + p)]);
    };
    double sum = 0, squares = 0;
    for (int i = 0; i < trained; ++i) {
      for (int p = 0; p < plane; ++p) {
        sum += byte(i, p);
        squares += byte(i, p) * byte(i, p);
      }
    }
    const double mean = sum / (trained * plane), variance = squares / (trained * plane) - mean * mean;
    double means = 0, variances = 0;
    for (int b = 0; b < batches; ++b) {
      double s = 0, q = 0;
      for (int i = b * batch; i < (b + 1) * batch; ++i) {
        for (int p = 0; p < plane; ++p) {
          const double x = (byte(i, p) - mean) / std::sqrt(variance);
          s += x;
          q += x * x;
        }
      }
      constexpr double count = batch * plane;
      means += s / count / batches;
      variances += (q - s * s / count) / (count - 1) / batches;
    }
    std::size_t at = 0;
    for (const Tensor& tensor : session->tensors()) {
      if (tensor.statistic) {
        const bool of_mean = tensor.name.find("mean") != std::string::npos;
        CHECK(std::abs(weights[at + static_cast<std::size_t>(channel)] - (of_mean ? means : variances)) < 2e-5);
      }
      at += static_cast<std::size_t>(tensor.size);
    }
  }
}

TEST_CASE("averaging: the statistics' batches draw as the steps that come next would") {
  const auto layers = [](const std::string& momentum) {
    return R"([{"op":"dropout","rate":0.5},{"op":"batch_norm","momentum":)" + momentum +
           R"(,"epsilon":1e-5},{"op":"flatten"},{"op":"linear","units":4,"bias":true,"init":"torch_uniform"}])";
  };
  // Nothing learns, and every epoch has the same batches.
  Hyperparameters still = default_values;
  still[static_cast<std::size_t>(Hyper::learning_rate)] = 0;
  RecipeText plain;
  plain.shuffle = plain.flip = plain.test_at_end = false;
  plain.crop = 0;
  RecipeText averaged = plain;
  plain.layers = layers("1");
  averaged.layers = layers("0.1");
  averaged.epochs = 2;
  averaged.averaging = R"({"start":1,"every":1})";
  const auto found = open_session(averaged, 1), single = open_session(plain, 1);
  found->add_lane(7, still, std::nullopt);
  run_to_end(*found);
  // At a momentum of 1 the running statistics are the last batch's: those of the third epoch's batches.
  single->add_lane(7, still, std::nullopt);
  single->run_slice({1e6, 2 * 9});
  std::vector<double> means(single->weights(0).size(), 0.0);
  std::vector<float> first, last;
  for (int batch = 0; batch < 7; ++batch) {
    single->run_slice({1e6, 1});
    last = single->weights(0);
    if (batch == 0) first = last;
    for (std::size_t i = 0; i < means.size(); ++i) means[i] += static_cast<double>(last[i]) / 7;
  }
  const std::vector<float> weights = found->weights(0);
  std::size_t at = 0;
  for (const Tensor& tensor : found->tensors()) {
    for (std::int64_t i = 0; i < tensor.size; ++i, ++at) {
      if (!tensor.statistic) continue;
      CHECK(std::abs(weights[at] - means[at]) < 1e-5);
      CHECK(std::abs(last[at] - first[at]) > 1e-4);
    }
  }
}

TEST_CASE("averaging: epochs that do not enter the average are measured as the one before, to the bit") {
  const auto session = open_session(averaging(R"({"start":1,"every":2})"), 1);
  const std::vector<LaneReport> reports = train(*session);
  REQUIRE(reports.size() == 5);
  CHECK(reports[2].metric("val_loss") == reports[1].metric("val_loss"));
  CHECK(reports[4].metric("val_loss") == reports[3].metric("val_loss"));
  CHECK(reports[3].metric("val_loss") != reports[2].metric("val_loss"));
}

TEST_CASE("averaging: training goes on from its own weights") {
  RecipeText plain;
  plain.epochs = 5;
  const auto alone = open_session(plain, 1), average = open_session(averaging(R"({"start":1,"every":1})"), 1);
  const std::vector<LaneReport> expected = train(*alone), found = train(*average);
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].metric("train_loss") == expected[i].metric("train_loss"));
    CHECK((found[i].metric("val_loss") == expected[i].metric("val_loss")) == (i < 1));
  }
}

TEST_CASE("averaging: the same bytes whatever the neighbours, threads, vector width and where it was interrupted") {
  const RecipeText recipe = averaging(R"({"start":1,"every":2})");
  const auto whole = open_session(recipe, 1);
  const std::vector<LaneReport> reports = train(*whole);
  const std::vector<std::uint8_t> end = whole->save_lane(0);
  for (const std::string isa : {"scalar", "avx2", "auto"}) {
    const auto session = open_session(recipe, 3, 2, "cpu", isa);
    for (const std::uint64_t seed : {3u, 7u, 11u}) session->add_lane(seed, default_values, std::nullopt);
    run_to_end(*session, 5);
    CHECK(session->save_lane(1) == end);
  }
  std::vector<std::uint8_t> bytes;
  std::vector<LaneReport> seen;
  for (SliceState state = SliceState::more; state == SliceState::more;) {
    const auto session = open_session(recipe, 1);
    session->add_lane(7, default_values,
                      bytes.empty() ? std::nullopt : std::optional<std::span<const std::uint8_t>>(bytes));
    const SliceResult result = session->run_slice({1000, 1});
    seen.insert(seen.end(), result.reports.begin(), result.reports.end());
    state = result.state;
    bytes = session->save_lane(0);
  }
  CHECK(bytes == end);
  REQUIRE(seen.size() == reports.size());
  for (std::size_t i = 0; i < seen.size(); ++i) CHECK(seen[i].metric("val_loss") == reports[i].metric("val_loss"));
}

TEST_CASE("averaging: memory is what the formula says; a checkpoint of another recipe is refused") {
  const RecipeText with = averaging(R"({"start":1,"every":1})");
  RecipeText without = with;
  without.averaging.clear();
  const auto a = open_session(with, 1), b = open_session(without, 1);
  std::int64_t parameters = 0, statistics = 0;
  for (const Tensor& tensor : a->tensors()) (tensor.statistic ? statistics : parameters) += tensor.size;
  const auto round64 = [](std::int64_t floats) { return (floats * 4 + 63) / 64 * 64; };
  CHECK(static_cast<std::int64_t>(a->memory().bytes_per_lane - b->memory().bytes_per_lane) ==
        round64(parameters) + round64(statistics));
  b->add_lane(7, default_values, std::nullopt);
  const std::vector<std::uint8_t> bytes = b->save_lane(0);
  CHECK(thrown_by([&] { a->add_lane(7, default_values, bytes); }).code() == ErrorCode::ENGINE_FOREIGN_CHECKPOINT);
}
