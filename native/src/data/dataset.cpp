#include "data/dataset.h"

#include <cmath>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "convsweep/error.h"
#include "ops/shape.h"

namespace convsweep {
namespace {

struct Registry {
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const Dataset>> sets;
};

// The one mutable global of the engine. Never destroyed: sessions of other threads may outlive main().
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

void check_part(const DatasetView& view, const char* part, std::span<const std::uint8_t> images,
                std::span<const std::uint8_t> labels) {
  const std::string name(part);
  const auto image_bytes = static_cast<std::size_t>(view.shape.size());
  if (labels.size() > 2147483647u) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, name + "Labels", "at most 2147483647 labels",
                     std::to_string(labels.size()));
  }
  if (images.size() != labels.size() * image_bytes) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, name + "Images",
                     std::to_string(labels.size()) + " images of " + std::to_string(image_bytes) + " bytes",
                     std::to_string(images.size()) + " bytes");
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] >= view.classes) {
      throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, name + "Labels[" + std::to_string(i) + "]",
                       "a class below " + std::to_string(view.classes), std::to_string(labels[i]));
    }
  }
}

void check_text(const DatasetView& view) {
  const std::size_t bytes = view.train_images.size(), window = static_cast<std::size_t>(view.shape.columns);
  if (view.shape.channels != 1 || view.shape.rows != 1) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "shape", "1 channel and 1 row for a text", describe(view.shape));
  }
  if (bytes <= window || bytes > 2147483647u || (bytes - 1) % window != 0) {
    throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "trainImages",
                     "one character more than whole windows of " + std::to_string(window),
                     std::to_string(bytes) + " characters");
  }
  if (!view.train_labels.empty() || !view.test_images.empty() || !view.test_labels.empty()) {
    throw Error(ErrorCode::ENGINE_BAD_ARGUMENT, "trainLabels", "a text has neither labels nor test images");
  }
  for (std::size_t i = 0; i < bytes; ++i) {
    if (view.train_images[i] >= view.classes) {
      throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, "trainImages[" + std::to_string(i) + "]",
                       "a character below " + std::to_string(view.classes), std::to_string(view.train_images[i]));
    }
  }
}

std::shared_ptr<Dataset> copy_text(const DatasetView& view) {
  auto set = std::make_shared<Dataset>();
  set->text = true;
  set->shape = view.shape;
  set->classes = view.classes;
  set->train = static_cast<int>((view.train_images.size() - 1) / static_cast<std::size_t>(view.shape.columns));
  set->images.assign(view.train_images.begin(), view.train_images.end() - 1);
  set->labels.assign(view.train_images.begin() + 1, view.train_images.end());
  return set;
}

template <class T>
void require_equal(const char* field, const T& wanted, const T& found, const std::string& wanted_text,
                   const std::string& found_text) {
  if (wanted == found) return;
  throw unexpected(ErrorCode::ENGINE_BAD_ARGUMENT, std::string("dataset.") + field,
                   wanted_text + " as in the registered data set", found_text + " in the recipe");
}

void add(const std::string& digest, std::shared_ptr<const Dataset> set) {
  Registry& all = registry();
  const std::lock_guard<std::mutex> lock(all.mutex);
  all.sets.emplace(digest, std::move(set));
}

}  // namespace

void register_dataset(const std::string& digest, const DatasetView& view) {
  if (find_dataset(digest) != nullptr) return;
  if (view.text) {
    check_text(view);
    add(digest, copy_text(view));
    return;
  }
  check_part(view, "train", view.train_images, view.train_labels);
  check_part(view, "test", view.test_images, view.test_labels);
  auto set = std::make_shared<Dataset>();
  set->shape = view.shape;
  set->classes = view.classes;
  set->train = static_cast<int>(view.train_labels.size());
  set->test = static_cast<int>(view.test_labels.size());
  set->images.reserve(view.train_images.size() + view.test_images.size());
  set->images.assign(view.train_images.begin(), view.train_images.end());
  set->images.insert(set->images.end(), view.test_images.begin(), view.test_images.end());
  set->labels.assign(view.train_labels.begin(), view.train_labels.end());
  set->labels.insert(set->labels.end(), view.test_labels.begin(), view.test_labels.end());
  add(digest, std::move(set));
}

std::shared_ptr<const Dataset> find_dataset(const std::string& digest) {
  Registry& all = registry();
  const std::lock_guard<std::mutex> lock(all.mutex);
  const auto found = all.sets.find(digest);
  return found == all.sets.end() ? nullptr : found->second;
}

void check_dataset(const Dataset& dataset, const DatasetSpec& spec) {
  const auto number = [](int value) { return std::to_string(value); };
  const auto kind = [](bool text) { return std::string(text ? "a text" : "images"); };
  require_equal("text", dataset.text, spec.text, kind(dataset.text), kind(spec.text));
  require_equal("shape", dataset.shape, spec.shape, describe(dataset.shape), describe(spec.shape));
  require_equal("classes", dataset.classes, spec.classes, number(dataset.classes), number(spec.classes));
  require_equal("train_images", dataset.train, spec.train_images, number(dataset.train), number(spec.train_images));
  require_equal("test_images", dataset.test, spec.test_images, number(dataset.test), number(spec.test_images));
}

Normalisation between_minus_one_and_one(const Dataset& dataset) {
  const auto channels = static_cast<std::size_t>(dataset.shape.channels);
  return {std::vector<float>(channels, 2.0F / 255.0F), std::vector<float>(channels, -1.0F)};
}

Normalisation normalise(const Dataset& dataset, int images) {
  Normalisation result;
  if (dataset.text) return {{1.0F}, {0.0F}};
  const auto plane = static_cast<std::size_t>(dataset.shape.plane());
  const auto channels = static_cast<std::size_t>(dataset.shape.channels);
  for (std::size_t c = 0; c < channels; ++c) {
    // Whole numbers: exact in any order.
    std::uint64_t sum = 0, squares = 0;
    for (std::size_t image = 0; image < static_cast<std::size_t>(images); ++image) {
      const std::uint8_t* pixel = dataset.images.data() + (image * channels + c) * plane;
      for (std::size_t i = 0; i < plane; ++i) {
        sum += pixel[i];
        squares += std::uint64_t{pixel[i]} * pixel[i];
      }
    }
    const double count = static_cast<double>(plane) * images;
    const double mean = static_cast<double>(sum) / count;
    const double variance = static_cast<double>(squares) / count - mean * mean;
    // A channel of one colour is left at zero.
    const double deviation = variance > 1e-9 ? std::sqrt(variance) : 255.0;
    result.scale.push_back(static_cast<float>(1 / deviation));
    result.shift.push_back(static_cast<float>(-mean / deviation));
  }
  return result;
}

}  // namespace convsweep
