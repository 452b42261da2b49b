// A backend that also measures how long each layer takes.
//
// Guarantees: the same operations on the same memory, so the same results and the same fingerprint; only calls of a
// session's step are timed. Times are wall clock of the thread that called; with several threads on one call, that of
// all together. Costs a reading of the clock before and after each call, nothing where it is not used. For host backends:
// a device's calls return before they are done.
//
// Multiply-adds count 2 and include taps on padding, as the definition counts them; bytes are those of the operands,
// once each. Both are 0 where no formula is known.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "convsweep/backend.h"

namespace convsweep {

struct LayerTime {
  // -1 for what is no layer: batches, the loss, updates, the check for finite weights.
  int layer = -1;
  // `conv2d`, `gather`, ...
  std::string op;
  // `forward`, `backward`, or empty.
  std::string direction;
  std::int64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

class ProfilingBackend : public Backend {
 public:
  // By layer, what is no layer last; since the last call of this function.
  virtual std::vector<LayerTime> take() = 0;
};

std::unique_ptr<ProfilingBackend> make_profiling_backend(std::unique_ptr<Backend> backend);

}  // namespace convsweep
