// Data sets in memory: bytes as published, once a process, shared by every session.
//
// Guarantees: an image or label can be read for as long as somebody holds the pointer; the registry holds one for good.
// Safe from several threads. Sizes and labels have been checked, so kernels need not.
//
// Not here: reading files, choosing a validation split (the recipe does).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "convsweep/ops.h"
#include "convsweep/recipe.h"
#include "convsweep/session.h"

namespace convsweep {

struct Dataset {
  Extent shape;
  int classes = 0;
  int train = 0, test = 0;
  // Training images, then test images: [image][channel][row][column].
  std::vector<std::uint8_t> images;
  std::vector<std::uint8_t> labels;
  // Of a text: images are windows one after another, and every character has a label, the one that follows it.
  bool text = false;
};

// Borrowed arrays, checked and copied by register_dataset.
//
// A text is `train_images` alone: numbered characters, one more than whole windows of shape.columns.
struct DatasetView {
  Extent shape;
  int classes = 0;
  std::span<const std::uint8_t> train_images, train_labels, test_images, test_labels;
  bool text = false;
};

// Copies the arrays unless the digest is there already. Throws Error ENGINE_BAD_ARGUMENT for sizes that do not fit
// together or a label out of range, naming the first one.
void register_dataset(const std::string& digest, const DatasetView& view);
// Null when no such digest has been registered.
std::shared_ptr<const Dataset> find_dataset(const std::string& digest);

// Throws Error ENGINE_BAD_ARGUMENT when the data set is not the one the recipe describes.
void check_dataset(const Dataset& dataset, const DatasetSpec& spec);

// Of a text the numbers as they are, else: values have mean 0 and variance 1 a channel over the first `images` images.
Normalisation normalise(const Dataset& dataset, int images);
// -1 for 0 and 1 for 255.
Normalisation between_minus_one_and_one(const Dataset& dataset);

}  // namespace convsweep
