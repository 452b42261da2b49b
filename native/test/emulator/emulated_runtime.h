// A device whose kernels run on the host emulator, for tests: whole networks train on it through the kernels. Breaks on
// request.
//
// Guarantees: memory is exactly as large as asked for and separate on the heap, with any content, so AddressSanitizer
// sees what leaves it. release() takes what allocate() gave, once.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backend/device_runtime.h"

namespace convsweep::emulator {

struct EmulatedDevice {
  std::string id = "emulated:0";
  std::size_t total = std::size_t{1} << 30, used = 0;
  // Copies and clearings that still work; negative for all.
  std::int64_t works_for = -1;
  // The device breaks when this file comes, and takes it away; empty for never.
  std::string breaks_with;
  // allocate() yields null although memory() promised room, as when another process was faster.
  bool taken_meanwhile = false;
  // Whether calls can be recorded.
  bool records = true;
  // Allocations that are not released, and how many there ever were.
  int open = 0, ever = 0;
  std::int64_t copies_in = 0, copies_out = 0, replays = 0;
};

// `device` must outlive the runtime.
std::unique_ptr<device::Runtime> open_runtime(EmulatedDevice& device);

}  // namespace convsweep::emulator
