// The generated digits: deterministic, balanced, independent of how many are asked for, and neither trivial nor
// hopeless.
#include <algorithm>
#include <vector>

#include "data/synthetic_digits.h"
#include "doctest/doctest.h"

using namespace convsweep;

namespace {

constexpr std::size_t kPixels = 784;

// Accuracy of naming the class whose mean image is nearest.
double nearest_mean_accuracy(const DigitSet& set) {
  std::vector<double> mean(10 * kPixels);
  std::vector<int> count(10);
  for (std::size_t i = 0; i < set.train_labels.size(); ++i) {
    ++count[set.train_labels[i]];
    for (std::size_t p = 0; p < kPixels; ++p)
      mean[set.train_labels[i] * kPixels + p] += set.train_images[i * kPixels + p];
  }
  for (std::size_t c = 0; c < 10; ++c) {
    for (std::size_t p = 0; p < kPixels; ++p) mean[c * kPixels + p] /= count[c];
  }
  int right = 0;
  for (std::size_t i = 0; i < set.test_labels.size(); ++i) {
    double best = 1e300;
    std::size_t label = 0;
    for (std::size_t c = 0; c < 10; ++c) {
      double distance = 0;
      for (std::size_t p = 0; p < kPixels; ++p) {
        const double d = set.test_images[i * kPixels + p] - mean[c * kPixels + p];
        distance += d * d;
      }
      if (distance < best) {
        best = distance;
        label = c;
      }
    }
    right += label == set.test_labels[i] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(set.test_labels.size());
}

}  // namespace

TEST_CASE("synthetic digits depend on the seed and the index alone") {
  const DigitSet small = make_synthetic_digits(7, 30, 20), large = make_synthetic_digits(7, 95, 41);
  CHECK(small.train_images.size() == 30 * kPixels);
  CHECK(small.test_labels.size() == 20);
  CHECK(std::equal(small.train_images.begin(), small.train_images.end(), large.train_images.begin()));
  CHECK(std::equal(small.train_labels.begin(), small.train_labels.end(), large.train_labels.begin()));
  CHECK(std::equal(small.test_images.begin(), small.test_images.end(), large.test_images.begin()));
  CHECK_FALSE(std::equal(small.test_images.begin(), small.test_images.end(), large.train_images.begin()));
  const DigitSet other = make_synthetic_digits(8, 30, 0);
  CHECK(other.train_images != small.train_images);
  CHECK(other.test_images.empty());
}

TEST_CASE("every ten synthetic digits hold each digit once") {
  const DigitSet set = make_synthetic_digits(1, 200, 100);
  for (std::size_t i = 0; i < 200; i += 10) {
    std::vector<std::uint8_t> ten(set.train_labels.begin() + static_cast<std::ptrdiff_t>(i),
                                  set.train_labels.begin() + static_cast<std::ptrdiff_t>(i + 10));
    std::sort(ten.begin(), ten.end());
    CHECK(ten == std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  }
}

TEST_CASE("synthetic digits hold ink, keep to the middle, and are of middling difficulty") {
  const DigitSet set = make_synthetic_digits(3, 3000, 1000);
  double middle = 0, edge = 0;
  for (std::size_t i = 0; i < set.train_images.size(); ++i) {
    const std::size_t y = i % kPixels / 28, x = i % 28;
    (y >= 7 && y < 21 && x >= 7 && x < 21 ? middle : edge) += set.train_images[i];
  }
  CHECK(middle / (196 * 3000) > 2 * edge / (588 * 3000));
  // A nearest mean does far better than chance (10 %) and leaves much to learn.
  const double accuracy = nearest_mean_accuracy(set);
  CHECK(accuracy > 0.5);
  CHECK(accuracy < 0.9);
}
