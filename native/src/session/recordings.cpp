#include "session/recordings.h"

namespace convsweep {
namespace {

// A cohort whose lanes come and go has many sets of lanes; old ones seldom come back.
constexpr std::size_t most_known = 64;

}  // namespace

// In powers of two, the largest first: any number of rounds is made of few parts.
void Recordings::run(const Kind& kind, int rounds, const std::function<void(int)>& round) {
  int first = 0;
  while (first < rounds) {
    int count = 1;
    while (2 * count <= rounds - first) count *= 2;
    part({kind.calls, kind.images, kind.lanes.first, kind.lanes.count, kind.lanes.ids, first, count}, round);
    first += count;
  }
}

void Recordings::part(const Key& key, const std::function<void(int)>& round) {
  const auto all = [&] {
    for (int i = key.first; i < key.first + key.count; ++i) round(i);
  };
  const auto place = known_.find(key);
  if (place == known_.end()) {
    if (known_.size() >= most_known) known_.clear();
    known_.emplace(key, nullptr);
    return all();
  }
  if (place->second == nullptr) place->second = backend_.record(all);
  if (place->second == nullptr) return all();
  place->second->replay();
}

}  // namespace convsweep
