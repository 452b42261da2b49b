// Rounds of batches that were done before are not called again: the backend has them recorded (Backend::record).
//
// Guarantees: the same operations on the same memory in the same order, so the same bytes. A set of rounds is recorded
// when it comes a second time; what comes once costs nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "convsweep/backend.h"

namespace convsweep {

class Recordings {
 public:
  explicit Recordings(Backend& backend) : backend_(backend) {}

  // What the calls of a round follow from, beside its number: Procedure::calls, images, lanes.
  struct Kind {
    int calls = 0, images = 0;
    LaneSet lanes;
  };
  // Calls round(0), round(1), ... round(rounds - 1), or what was recorded of them.
  void run(const Kind& kind, int rounds, const std::function<void(int)>& round);

 private:
  // Rounds [first, first + count) of a kind.
  struct Key {
    int calls, images, first_lane, lanes;
    const void* ids;
    int first, count;
    auto operator<=>(const Key&) const = default;
  };
  void part(const Key& key, const std::function<void(int)>& round);

  Backend& backend_;
  // Null for what came once.
  std::map<Key, std::unique_ptr<Recording>> known_;
};

}  // namespace convsweep
