// Schedules, first weights, portable mathematics and normalisation.
#include <algorithm>

#include "data/dataset.h"
#include "model/graph.h"
#include "model/portable_math.h"
#include "model/schedule.h"
#include "session_support.h"
#include "support.h"

using namespace convsweep;
using namespace convsweep::test;

TEST_CASE("portable mathematics agrees with the platform's to a few units of the last place") {
  for (int i = 0; i < 20000; ++i) {
    const double u = (value_at(1, static_cast<std::uint64_t>(i)) + 1.0000001) / 2;
    CHECK(portable_log(u) == doctest::Approx(std::log(u)).epsilon(1e-14));
    CHECK(std::fabs(cos_pi(2 * u) - std::cos(2 * u * 3.14159265358979323846)) < 2e-15);
    CHECK(std::fabs(sin_pi(2 * u) - std::sin(2 * u * 3.14159265358979323846)) < 2e-15);
  }
  CHECK(portable_log(1) == 0);
  CHECK(cos_pi(0) == 1);
  CHECK(cos_pi(0.5) == 0);
  CHECK(cos_pi(1) == -1);
  CHECK(sin_pi(1) == 0);
  CHECK(sin_pi(1.5) == -1);
  CHECK(power(0.9, 0) == 1);
  CHECK(power(0.5, 20) == 1.0 / 1048576);
  CHECK(power(0.999, 1000) == doctest::Approx(std::pow(0.999, 1000)).epsilon(1e-13));
}

TEST_CASE("schedules at their corners") {
  const auto factor = [](const Schedule& s, int epoch, int batch) {
    return schedule_factor(s, default_values, 10, epoch, batch, 100);
  };
  Schedule s;
  CHECK(factor(s, 7, 50) == 1);
  s.kind = ScheduleKind::step;
  s.every = 3;
  s.factor = 0.5;
  CHECK(factor(s, 2, 99) == 1);
  CHECK(factor(s, 3, 0) == 0.5);
  CHECK(factor(s, 9, 0) == 0.125);
  s.kind = ScheduleKind::exponential;
  CHECK(factor(s, 4, 10) == 0.0625);
  s.kind = ScheduleKind::cosine;
  s.floor = 0.2;
  CHECK(factor(s, 0, 0) == 1);
  CHECK(factor(s, 5, 0) == doctest::Approx(0.6));
  CHECK(factor(s, 9, 99) == doctest::Approx(0.2).epsilon(1e-3));
  s.kind = ScheduleKind::list;
  s.factors = {1, 0.3};
  CHECK(factor(s, 0, 0) == 1);
  CHECK(factor(s, 8, 0) == 0.3);
  s.kind = ScheduleKind::one_cycle;
  s.warmup = 0.3;
  s.div = 25;
  s.final_div = 1e4;
  CHECK(factor(s, 0, 0) == doctest::Approx(0.04));
  CHECK(factor(s, 3, 0) == doctest::Approx(1));
  CHECK(factor(s, 1, 50) == doctest::Approx(0.52));
  CHECK(factor(s, 6, 50) == doctest::Approx(0.5 + 0.5e-4));
  s.warmup = 1;
  CHECK(factor(s, 5, 0) == doctest::Approx(0.52));
}

TEST_CASE("first weights have the spread that their names say, and differ from seed to seed") {
  const char* names[] = {"he_normal", "he_uniform", "glorot_uniform", "torch_uniform"};
  // 200 inputs, 300 outputs.
  const double deviations[] = {std::sqrt(2.0 / 200), std::sqrt(2.0 / 200), std::sqrt(2.0 / 500), std::sqrt(1.0 / 600)};
  const double limits[] = {INFINITY, std::sqrt(6.0 / 200), std::sqrt(6.0 / 500), std::sqrt(1.0 / 200)};
  for (std::size_t k = 0; k < 4; ++k) {
    CAPTURE(names[k]);
    RecipeText text;
    text.layers = R"([{"op":"flatten"},{"op":"linear","units":200,"bias":false,"init":"he_normal"},)"
                  R"({"op":"linear","units":300,"bias":true,"init":")" +
                  std::string(names[k]) + R"("},{"op":"linear","units":4,"bias":true,"init":"he_normal"}])";
    const Graph graph = build_graphs(text.recipe())[0];
    const std::vector<float> one = initial_parameters(graph, 1), two = initial_parameters(graph, 2);
    const Tensor& tensor = graph.tensors[1];
    REQUIRE(tensor.size == 60000);
    double sum = 0, squares = 0, most = 0;
    int equal = 0;
    for (std::int64_t i = 0; i < tensor.size; ++i) {
      const auto at = static_cast<std::size_t>(tensor.offset + i);
      const auto w = static_cast<double>(one[at]);
      sum += w;
      squares += w * w;
      most = std::max(most, std::fabs(w));
      equal += one[at] == two[at] ? 1 : 0;
    }
    CHECK(std::fabs(sum / 60000) < 5 * deviations[k] / std::sqrt(60000.0));
    CHECK(std::sqrt(squares / 60000) == doctest::Approx(deviations[k]).epsilon(0.02));
    CHECK(most <= limits[k]);
    CHECK(most > 0.99 * (std::isinf(limits[k]) ? 3.5 * deviations[k] : limits[k]));
    CHECK(equal < 10);
  }
}

TEST_CASE("normalised pixels have mean 0 and variance 1 over the images trained on") {
  const Dataset& set = *small_dataset();
  const Normalisation norm = normalise(set, 60);
  REQUIRE(norm.scale.size() == 2);
  for (std::size_t c = 0; c < 2; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < 60; ++i) {
      for (std::size_t p = 0; p < 36; ++p) {
        const double v =
            set.images[i * 72 + c * 36 + p] * static_cast<double>(norm.scale[c]) + static_cast<double>(norm.shift[c]);
        sum += v;
        squares += v * v;
      }
    }
    CHECK(std::fabs(sum / 2160) < 1e-5);
    CHECK(squares / 2160 == doctest::Approx(1).epsilon(1e-5));
  }
}

TEST_CASE("data sets that do not fit together are refused") {
  const std::vector<std::uint8_t> images(12), labels = {0, 1, 2};
  const auto message = [](const DatasetView& view) {
    return std::string(thrown_by([&] { register_dataset("wrong", view); }).what());
  };
  const std::span<const std::uint8_t> none;
  CHECK(message({Extent{1, 2, 2}, 2, images, labels, none, none}) ==
        "trainLabels[2]: expected a class below 2, found 2");
  CHECK(message({Extent{1, 2, 3}, 3, images, labels, none, none}) ==
        "trainImages: expected 3 images of 6 bytes, found 12 bytes");
  CHECK(message({Extent{1, 2, 2}, 3, images, labels, images, none}) ==
        "testImages: expected 0 images of 4 bytes, found 12 bytes");
  CHECK(find_dataset("wrong") == nullptr);
  RecipeText text;
  text.test = 14;
  CHECK(std::string(thrown_by([&] { open_session(text, 1); }).what()) ==
        "dataset.test_images: expected 13 as in the registered data set, found 14 in the recipe");
}

TEST_CASE("a lane's own values take the place of the schedule's and the augmentation's") {
  Hyperparameters own = default_values;
  const auto set = [&own](Hyper which, double value) { own[static_cast<std::size_t>(which)] = value; };
  set(Hyper::schedule_factor, 0.25);
  set(Hyper::schedule_floor, 0.5);
  set(Hyper::schedule_warmup, 0.5);
  Schedule s;
  s.kind = ScheduleKind::step;
  s.every = 2;
  s.factor = 0.1;
  CHECK(schedule_factor(s, own, 10, 5, 0, 100) == 0.0625);
  s.kind = ScheduleKind::exponential;
  CHECK(schedule_factor(s, own, 10, 3, 50, 100) == 0.015625);
  s.kind = ScheduleKind::cosine;
  CHECK(schedule_factor(s, own, 10, 5, 0, 100) == doctest::Approx(0.75));
  s.kind = ScheduleKind::one_cycle;
  s.div = 25;
  s.warmup = 0.1;
  CHECK(schedule_factor(s, own, 10, 5, 0, 100) == 1);
  CHECK(schedule_factor(s, default_values, 10, 1, 0, 100) == 1);

  s.kind = ScheduleKind::list;
  s.factors = {1, 0.5, 2};
  CHECK(schedule_factor(s, own, 10, 7, 0, 100) == 2);
  s.cycle = true;
  CHECK(schedule_factor(s, own, 10, 7, 0, 100) == 0.5);

  const Augmentation recipe{0.5, 4, 8, 0.1, 0.2, 0.3};
  const AugmentScalars same = augment_scalars(recipe, default_values);
  CHECK(same.flip == 0.5F);
  CHECK(same.crop_padding == 4);
  CHECK(same.cutout == 8);
  CHECK(same.saturation == 0.3F);
  set(Hyper::flip, 0);
  set(Hyper::crop_padding, 2);
  set(Hyper::brightness, 1);
  const AugmentScalars changed = augment_scalars(recipe, own);
  CHECK(changed.flip == 0);
  CHECK(changed.crop_padding == 2);
  CHECK(changed.brightness == 1);
  CHECK(changed.contrast == 0.2F);
}
