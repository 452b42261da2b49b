// Random numbers without state: Philox4x32-10 and the draws the engine makes from it.
//
// Guarantees: a draw is a pure function of (lane key, purpose, layer, step, element); it is the same on every backend,
// lane, thread and machine. Philox is that of Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3"
// (SC 2011), checked against the known answers published with Random123.
//
// Not here: normal deviates (normal_pair in src/ops/math.h; of first weights, in double, in src/model/init.cpp).
#pragma once

#include <cstdint>

#include "convsweep/hd.h"

namespace convsweep {

struct PhiloxBlock {
  std::uint32_t word[4];
};

CONVSWEEP_HD inline PhiloxBlock philox4x32_10(PhiloxBlock counter, std::uint32_t key0, std::uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter =
        PhiloxBlock{{static_cast<std::uint32_t>(b >> 32) ^ counter.word[1] ^ key0, static_cast<std::uint32_t>(b),
                     static_cast<std::uint32_t>(a >> 32) ^ counter.word[3] ^ key1, static_cast<std::uint32_t>(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// What a draw is for. Values are part of the checkpoint and rerun contract: never renumber.
// `latent`: a generator's input in a training step; `sample`: of the pictures of an epoch, the same each time;
// `write`: characters of a text.
enum class Purpose : std::uint32_t { init = 1, shuffle = 2, augment = 3, dropout = 4, latent = 5, sample = 6, write = 7 };

// Four 32-bit draws. `block` is element / 4 where draws are one a tensor element. The counter is
// {block, step, layer, purpose}; the key is the lane's 64-bit seed, low word first.
CONVSWEEP_HD inline PhiloxBlock draw_block(std::uint64_t key, Purpose purpose, std::uint32_t layer, std::uint32_t step,
                                           std::uint32_t block) {
  return philox4x32_10(PhiloxBlock{{block, step, layer, static_cast<std::uint32_t>(purpose)}},
                       static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32));
}

// Dropout keeps an element when its 32-bit draw is at or above this. `rate` is in [0, 1).
CONVSWEEP_HD inline std::uint32_t dropout_threshold(float rate) {
  return static_cast<std::uint32_t>(static_cast<double>(rate) * 4294967296.0);
}

// Element e of a dropout layer's activation, counted along [c][h][w][n], at optimiser step `step`.
CONVSWEEP_HD inline bool dropout_keeps(std::uint64_t key, std::uint32_t layer, std::uint32_t step,
                                       std::uint64_t element, std::uint32_t threshold) {
  const PhiloxBlock block = draw_block(key, Purpose::dropout, layer, step, static_cast<std::uint32_t>(element >> 2));
  return block.word[element & 3] >= threshold;
}

// Uniform over [0, bound) by multiply and shift; the bias is below bound / 2^32.
CONVSWEEP_HD inline std::uint32_t bounded(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((std::uint64_t{word} * bound) >> 32);
}

// How one training image is changed: the draw of (epoch, position in the epoch's order).
struct AugmentDraw {
  bool flip;
  // Offset of the crop within the padded image, 0 to 2 * crop_padding each; crop_padding means "as it was".
  std::uint32_t top, left;
};

// `flip` is a probability.
CONVSWEEP_HD inline AugmentDraw augment_draw(std::uint64_t key, std::uint32_t epoch, std::uint32_t position, float flip,
                                             std::uint32_t crop_padding) {
  const PhiloxBlock block = draw_block(key, Purpose::augment, 0, epoch, position);
  const double unflipped = (1 - static_cast<double>(flip)) * 4294967296.0;
  return AugmentDraw{static_cast<double>(block.word[0]) >= unflipped, bounded(block.word[1], 2 * crop_padding + 1),
                     bounded(block.word[2], 2 * crop_padding + 1)};
}

// Factors on one training image's brightness, contrast and saturation, each uniform in [1 - strength, 1 + strength).
struct ColourDraw {
  float brightness, contrast, saturation;
};

CONVSWEEP_HD inline ColourDraw colour_draw(std::uint64_t key, std::uint32_t epoch, std::uint32_t position,
                                           float brightness, float contrast, float saturation) {
  const PhiloxBlock block = draw_block(key, Purpose::augment, 1, epoch, position);
  const auto factor = [](std::uint32_t word, float strength) {
    // Twenty-four bits: exact in a float.
    const float unit = static_cast<float>(word >> 8) * 0x1p-23F - 1.0F;
    return 1.0F + strength * unit;
  };
  return ColourDraw{factor(block.word[0], brightness), factor(block.word[1], contrast),
                    factor(block.word[2], saturation)};
}

// Centre of the square that is cut out of one training image.
struct CutoutDraw {
  std::uint32_t row, column;
};

CONVSWEEP_HD inline CutoutDraw cutout_draw(std::uint64_t key, std::uint32_t epoch, std::uint32_t position,
                                           std::uint32_t rows, std::uint32_t columns) {
  const PhiloxBlock block = draw_block(key, Purpose::augment, 2, epoch, position);
  return CutoutDraw{bounded(block.word[0], rows), bounded(block.word[1], columns)};
}

// The order of an epoch: a keyed bijection of [0, size), computed position by position, never stored.
//
// A balanced Feistel network over the smallest even number of bits that holds `size`, with round keys from Philox, and
// cycle walking (re-encrypting until the value falls below `size`; fewer than four rounds of it on average).
class Permutation {
 public:
  CONVSWEEP_HD Permutation(std::uint64_t key, std::uint32_t epoch, std::uint32_t size) : size_(size) {
    while (half_bits_ < 16 && (std::uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
    for (std::uint32_t i = 0; i < 2; ++i) {
      const PhiloxBlock keys = draw_block(key, Purpose::shuffle, 0, epoch, i);
      for (int j = 0; j < 4; ++j) round_key_[4 * i + static_cast<std::uint32_t>(j)] = keys.word[j];
    }
  }

  CONVSWEEP_HD std::uint32_t operator()(std::uint32_t position) const {
    std::uint32_t value = position;
    do {
      value = encrypt(value);
    } while (value >= size_);
    return value;
  }

 private:
  CONVSWEEP_HD std::uint32_t encrypt(std::uint32_t value) const {
    const std::uint32_t mask = (std::uint32_t{1} << half_bits_) - 1;
    std::uint32_t left = value >> half_bits_, right = value & mask;
    for (int round = 0; round < 8; ++round) {
      // The finaliser of MurmurHash3 as round function.
      std::uint32_t mixed = right ^ round_key_[round];
      mixed = (mixed ^ (mixed >> 16)) * 0x85EBCA6Bu;
      mixed = (mixed ^ (mixed >> 13)) * 0xC2B2AE35u;
      mixed ^= mixed >> 16;
      const std::uint32_t next = left ^ (mixed & mask);
      left = right;
      right = next;
    }
    return (left << half_bits_) | right;
  }

  std::uint32_t size_;
  std::uint32_t half_bits_ = 1;
  std::uint32_t round_key_[8];
};

}  // namespace convsweep
