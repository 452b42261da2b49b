#include "backend/host_inputs.h"

#include "convsweep/rng.h"
#include "ops/math.h"

namespace convsweep {

void host_draw_normal(ExecutionContext&, const NormalCall& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const LaneScalars& s = call.scalars[lane];
    const std::uint32_t step = call.purpose == Purpose::latent ? s.step : 0;
    float* x = call.x[lane];
    std::uint64_t element = std::uint64_t{call.first} * static_cast<std::uint64_t>(call.count);
    PhiloxBlock block{};
    math::Normals pair{};
    for (int i = 0; i < call.n; ++i) {
      for (std::int64_t j = 0; j < call.count; ++j, ++element) {
        const bool begins = i == 0 && j == 0;
        if (begins || (element & 3) == 0) {
          block = draw_block(s.key, call.purpose, 0, step, static_cast<std::uint32_t>(element >> 2));
        }
        if (begins || (element & 1) == 0) pair = math::normal_pair(block.word[element & 2], block.word[(element & 2) + 1]);
        x[j * call.n + i] = pair.v[element & 1];
      }
    }
  }
}

void host_one_hot(ExecutionContext&, const OneHotCall& call) {
  for (int k = 0; k < call.lanes.count; ++k) {
    const int lane = call.lanes[k];
    const std::int32_t* labels = call.labels[lane];
    float* y = call.y[lane];
    for (int c = 0; c < call.classes; ++c) {
      for (std::int64_t p = 0; p < call.plane; ++p, y += call.n) {
        for (int i = 0; i < call.n; ++i) y[i] = labels[i] == c ? 1.0F : 0.0F;
      }
    }
  }
}

}  // namespace convsweep
