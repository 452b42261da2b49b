// A lane as bytes.
//
// Guarantees: write, then read with the same recipe and fingerprint, gives the lane back to the bit. Bytes that are
// damaged throw Error ENGINE_CORRUPT_CHECKPOINT, bytes of another recipe, backend or format version
// ENGINE_FOREIGN_CHECKPOINT, both saying what was found; neither touches the lane.
//
// Format, little-endian: "CSWPLANE", u32 version, u64 recipe digest, u32 length + fingerprint, the fields of LaneState
// in order, u64 count + floats for parameters, state 0, state 1, running statistics, where the recipe averages weights
// also for their average and its statistics, and last the CRC-32 (IEEE) of all bytes before it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "session/lane.h"

namespace convsweep {

inline constexpr std::uint32_t checkpoint_version = 1;

struct LaneImage {
  LaneState state;
  std::vector<float> parameters, state0, state1, statistics;
  // Empty where the recipe averages no weights.
  std::vector<float> average, average_statistics;
};

std::vector<std::uint8_t> write_checkpoint(const LaneImage& image, std::uint64_t recipe_digest,
                                           const std::string& fingerprint);
// Without a fingerprint: of any backend.
LaneImage read_checkpoint(std::span<const std::uint8_t> bytes, std::uint64_t recipe_digest,
                          const std::optional<std::string>& fingerprint);

std::uint32_t crc32(std::span<const std::uint8_t> bytes);

}  // namespace convsweep
