// Finds accesses of a launch that no barrier orders.
//
// Guarantees: two threads of a launch that touch the same byte, one of them writing, with no barrier of their block and
// no operation of their whole warp between them, are a race, in whatever order the emulator ran them and whatever
// values they wrote. Blocks of a launch are never ordered. Memory is followed byte by byte.
//
// Limits: of the readers of a byte since it was last written two are remembered, so a race of a third may be told as
// that of another. Sees what is compiled with -fsanitize=thread (memory_hooks.cpp), and nothing of local variables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

namespace convsweep::emulator {

// Who touches memory, and after how many barriers.
struct Moment {
  // Thread of the block, and how many operations of its whole warp it has come through.
  std::uint16_t thread = 0, warp_operations = 0;
  // Barriers of the block.
  std::uint32_t barriers = 0;
  std::uint64_t block = nothing;

  static constexpr std::uint64_t nothing = ~std::uint64_t{0};
  // `apart`: what another block does to its memory does not matter.
  bool before(const Moment& later, bool apart) const {
    if (block == nothing) return true;
    if (block != later.block) return apart;
    return thread == later.thread || barriers < later.barriers ||
           (thread / 32 == later.thread / 32 && warp_operations < later.warp_operations);
  }
};

class RaceDetector {
 public:
  void begin_launch() {
    pages_.clear();
    last_ = nullptr;
  }
  struct Race {
    // What was touched before, by whom, and whether it was written.
    const void* address;
    Moment other;
    bool other_wrote;
  };
  // Null when all is well. `shared`: memory that each block has for itself.
  const Race* touch(const void* address, std::size_t bytes, bool writes, bool shared, const Moment& now);

 private:
  struct Byte {
    Moment writer, readers[2];
  };
  static constexpr std::uintptr_t page_bytes = 1024;
  using Page = std::array<Byte, page_bytes>;
  Byte& at(std::uintptr_t address);
  const Race* found(std::uintptr_t address, const Moment& other, bool wrote);

  std::unordered_map<std::uintptr_t, std::unique_ptr<Page>> pages_;
  std::uintptr_t last_number_ = 0;
  Page* last_ = nullptr;
  Race race_{};
};

}  // namespace convsweep::emulator
