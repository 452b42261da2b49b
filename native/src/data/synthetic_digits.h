// A generated data set of handwritten-looking digits that needs no download.
//
// Guarantees: 28 x 28 grey images, white on black, as bytes; the same bytes for the same seed on every machine (IEEE
// arithmetic in a fixed order, no platform mathematics); image i of a part does not depend on how many are drawn; every
// ten images in a row hold each digit once. About 30 microseconds an image. Not here: the shapes of the digits
// (digit_strokes.h).
#pragma once

#include <cstdint>
#include <vector>

namespace convsweep {

struct DigitSet {
  // [image][28][28]; labels 0 to 9.
  std::vector<std::uint8_t> train_images, train_labels;
  std::vector<std::uint8_t> test_images, test_labels;
};

// train, test >= 0. The two parts are drawn independently.
DigitSet make_synthetic_digits(std::uint32_t seed, int train, int test);

}  // namespace convsweep
