// The losses, the updates, batches out of the data set and the check for finite weights on the CPU.
#include "backend/cpu/cpu_context.h"
#include "convsweep/rng.h"

namespace convsweep::cpu {
namespace {

struct Decay {
  float l2 = 0.0F, keep = 1.0F;
};

// The parameters of a lane in two runs: those that decay, and those that do not.
template <class Run>
void two_runs(ExecutionContext& context, const UpdateCall& call, Run run) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const UpdateScalars& scalars = call.scalars[lane].update;
    run(cpu, lane, scalars, std::int64_t{0}, call.decayed, Decay{scalars.l2, scalars.keep});
    run(cpu, lane, scalars, call.decayed, call.count - call.decayed, Decay{});
  }
}

// A batch's part of the scratch memory: one number an image each.
struct GatherScratch {
  std::int32_t *index, *offset_y, *offset_x, *cut_row, *cut_column;
  float *brightness, *contrast, *saturation;
  std::uint8_t* flip;

  GatherScratch(std::byte* memory, int n) {
    index = reinterpret_cast<std::int32_t*>(memory);
    offset_y = index + n;
    offset_x = offset_y + n;
    cut_row = offset_x + n;
    cut_column = cut_row + n;
    brightness = reinterpret_cast<float*>(cut_column + n);
    contrast = brightness + n;
    saturation = contrast + n;
    flip = reinterpret_cast<std::uint8_t*>(saturation + n);
  }
};

void draw_image(const GatherCall& call, const LaneScalars& s, std::uint32_t position, int n, GatherScratch& to) {
  const AugmentScalars& a = s.augment;
  const AugmentDraw move = augment_draw(s.key, s.epoch, position, a.flip, a.crop_padding);
  to.flip[n] = move.flip ? 1 : 0;
  to.offset_y[n] = static_cast<std::int32_t>(move.top) - static_cast<std::int32_t>(a.crop_padding);
  to.offset_x[n] = static_cast<std::int32_t>(move.left) - static_cast<std::int32_t>(a.crop_padding);
  const ColourDraw colour = colour_draw(s.key, s.epoch, position, a.brightness, a.contrast, a.saturation);
  to.brightness[n] = colour.brightness;
  to.contrast[n] = colour.contrast;
  to.saturation[n] = colour.saturation;
  const CutoutDraw square = cutout_draw(s.key, s.epoch, position, static_cast<std::uint32_t>(call.image.rows),
                                        static_cast<std::uint32_t>(call.image.columns));
  to.cut_row[n] = static_cast<std::int32_t>(square.row) - static_cast<std::int32_t>(a.cutout / 2);
  to.cut_column[n] = static_cast<std::int32_t>(square.column) - static_cast<std::int32_t>(a.cutout / 2);
}

}  // namespace

void softmax_cross_entropy(ExecutionContext& context, const LossCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    SoftmaxLossArgs args;
    args.classes = call.classes;
    args.batch = args.valid = call.n;
    args.label_smoothing = call.scalars[lane].label_smoothing;
    const LossResult result = cpu.kernels.softmax_cross_entropy(args, call.logits[lane], call.labels[lane],
                                                                call.dlogits ? call.dlogits[lane] : nullptr);
    call.metrics[lane] = {result.loss_sum, result.correct};
  }
}

void binary_cross_entropy(ExecutionContext& context, const LossCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const float smoothing = call.scalars[lane].label_smoothing;
    BinaryLossArgs args;
    args.batch = call.n;
    const std::int32_t* labels = nullptr;
    switch (call.target) {
      case BinaryTarget::labels:
        args.zero = 0.5F * smoothing;
        args.one = 1.0F - args.zero;
        labels = call.labels[lane];
        break;
      case BinaryTarget::one:
        break;
      case BinaryTarget::smoothed_one:
        args.one = 1.0F - smoothing;
        break;
      case BinaryTarget::zero:
        args.label = 0;
        break;
    }
    const LossResult result =
        cpu.kernels.binary_cross_entropy(args, call.logits[lane], labels, call.dlogits ? call.dlogits[lane] : nullptr);
    call.metrics[lane] = {result.loss_sum, result.correct};
  }
}

void update_sgd(ExecutionContext& context, const UpdateCall& call) {
  two_runs(context, call,
           [&](CpuContext& cpu, int lane, const UpdateScalars& s, std::int64_t first, std::int64_t count, Decay d) {
             cpu.kernels.sgd(cpu.parallel, count, {s.learning_rate, d.l2, d.keep}, call.gradient[lane] + first,
                             call.weight[lane] + first);
           });
}

void update_momentum(ExecutionContext& context, const UpdateCall& call) {
  two_runs(context, call,
           [&](CpuContext& cpu, int lane, const UpdateScalars& s, std::int64_t first, std::int64_t count, Decay d) {
             cpu.kernels.momentum(cpu.parallel, count, {s.learning_rate, d.l2, s.momentum, call.nesterov, d.keep},
                                  call.gradient[lane] + first, call.weight[lane] + first, call.state0[lane] + first);
           });
}

void update_rmsprop(ExecutionContext& context, const UpdateCall& call) {
  two_runs(context, call,
           [&](CpuContext& cpu, int lane, const UpdateScalars& s, std::int64_t first, std::int64_t count, Decay d) {
             cpu.kernels.rmsprop(cpu.parallel, count, {s.learning_rate, d.l2, s.rho, s.epsilon, d.keep},
                                 call.gradient[lane] + first, call.weight[lane] + first, call.state0[lane] + first);
           });
}

void update_adam(ExecutionContext& context, const UpdateCall& call) {
  two_runs(context, call,
           [&](CpuContext& cpu, int lane, const UpdateScalars& s, std::int64_t first, std::int64_t count, Decay d) {
             cpu.kernels.adam(cpu.parallel, count,
                              {s.step_size, d.l2, s.beta1, s.beta2, s.epsilon, s.inverse_sqrt_correction2, d.keep},
                              call.gradient[lane] + first, call.weight[lane] + first, call.state0[lane] + first,
                              call.state1[lane] + first);
           });
}

void gather(ExecutionContext& context, const GatherCall& call) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < call.lanes.count; ++i) {
    const int lane = call.lanes[i];
    const LaneScalars& s = call.scalars[lane];
    const bool moves = call.augment && s.augment.moves(), colours = call.augment && s.augment.colours();
    const bool cuts = call.augment && s.augment.cutout > 0;
    const Permutation order(s.key, s.epoch, call.size);
    GatherScratch drawn(call.scratch[lane], call.n);
    for (int n = 0; n < call.n; ++n) {
      const std::uint32_t position = s.position + static_cast<std::uint32_t>(n);
      const std::uint32_t image = call.first_image + (call.shuffle ? order(position) : position);
      drawn.index[n] = static_cast<std::int32_t>(image);
      for (int p = 0; p < call.positions; ++p) {
        call.out_labels[lane][p * call.n + n] = call.labels[std::int64_t{image} * call.positions + p];
      }
      if (moves || colours || cuts) draw_image(call, s, position, n, drawn);
    }
    GatherArgs args;
    args.images = call.images;
    args.channels = call.image.channels;
    args.height = call.image.rows;
    args.width = call.image.columns;
    args.index = drawn.index;
    args.count = args.batch = call.n;
    args.scale = call.scale;
    args.shift = call.shift;
    if (moves) {
      args.flip = drawn.flip;
      args.offset_y = drawn.offset_y;
      args.offset_x = drawn.offset_x;
    }
    cpu.kernels.gather_images(cpu.parallel, args, call.x[lane]);
    if (!colours && !cuts) continue;
    AugmentArgs change;
    change.channels = args.channels;
    change.height = args.height;
    change.width = args.width;
    change.batch = call.n;
    change.scale = call.scale;
    change.shift = call.shift;
    if (colours) {
      change.brightness = drawn.brightness;
      change.contrast = drawn.contrast;
      change.saturation = drawn.saturation;
    }
    if (cuts) {
      change.cut_row = drawn.cut_row;
      change.cut_column = drawn.cut_column;
      change.cutout = static_cast<int>(s.augment.cutout);
    }
    cpu.kernels.augment_images(cpu.parallel, change, call.x[lane]);
  }
}

void check_finite(ExecutionContext& context, LaneSet lanes, Lanes<const float> values, std::int64_t count,
                  std::int32_t* finite) {
  CpuContext& cpu = cast(context);
  for (int i = 0; i < lanes.count; ++i) finite[lanes[i]] = cpu.kernels.all_finite(count, values[lanes[i]]) ? 1 : 0;
}

}  // namespace convsweep::cpu
