// Colours and squares of training images, sixteen images at a time; see KernelTable::augment_images.
#pragma once

#include "kernels_impl_common.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

// The colours of up to sixteen images, image `n` in lane n.
class Colours {
 public:
  Colours(const AugmentArgs& args, float* images, Mask mask, int first)
      : args_(args), images_(images + first), mask_(mask) {
    brightness_ = load(args.brightness + first, mask);
    contrast_ = load(args.contrast + first, mask);
    saturation_ = load(args.saturation + first, mask);
  }

  void run() const {
    const Index pixels = Index{args_.height} * args_.width;
    Vec sum = Vec::zero();
    for (Index p = 0; p < pixels; ++p) {
      sum = sum + grey([&](int c) { return brightened(p, c); });
    }
    const Vec mean = sum * Vec::of(1.0F / static_cast<float>(pixels));
    for (Index p = 0; p < pixels; ++p) {
      const auto contrasted = [&](int c) { return clamp(blend(brightened(p, c), mean, contrast_)); };
      const Vec own = grey(contrasted);
      // contrasted(c) reads channel c alone, which is not written yet.
      for (int c = 0; c < args_.channels; ++c) {
        const Vec value = clamp(blend(contrasted(c), own, saturation_));
        store(at(p, c), fma(value, Vec::of(args_.scale[c] * 255.0F), Vec::of(args_.shift[c])), mask_);
      }
    }
  }

 private:
  float* at(Index pixel, int c) const {
    return images_ + (Index{c} * args_.height * args_.width + pixel) * args_.batch;
  }
  static Vec clamp(Vec v) {
    const Vec low = select(less(v, Vec::zero()), Vec::zero(), v);
    return select(less(Vec::of(1.0F), low), Vec::of(1.0F), low);
  }
  // other + factor * (v - other)
  static Vec blend(Vec v, Vec other, Vec factor) { return fma(factor, v - other, other); }

  Vec brightened(Index pixel, int c) const {
    const Vec unit = (load(at(pixel, c), mask_) - Vec::of(args_.shift[c])) / Vec::of(args_.scale[c] * 255.0F);
    return clamp(unit * brightness_);
  }
  template <class F>
  Vec grey(const F& channel) const {
    if (args_.channels == 3) {
      return fma(Vec::of(0.299F), channel(0), fma(Vec::of(0.587F), channel(1), Vec::of(0.114F) * channel(2)));
    }
    Vec sum = channel(0);
    for (int c = 1; c < args_.channels; ++c) sum = sum + channel(c);
    return sum * Vec::of(1.0F / static_cast<float>(args_.channels));
  }

  const AugmentArgs& args_;
  float* images_;
  Mask mask_;
  Vec brightness_, contrast_, saturation_;
};

inline void cut_squares(const AugmentArgs& args, float* images, Mask mask, int first) {
  for (int r = 0; r < args.height; ++r) {
    for (int w = 0; w < args.width; ++w) {
      const Int top = load_int(args.cut_row + first, mask), left = load_int(args.cut_column + first, mask);
      const Int below = Int::of(r) - top, right = Int::of(w) - left, side = Int::of(args.cutout);
      // Below 0 counts as above every side when read without a sign.
      const Mask inside = below_unsigned(below, side) & below_unsigned(right, side) & mask;
      if (!any(inside)) continue;
      for (int c = 0; c < args.channels; ++c) {
        float* const at = images + ((Index{c} * args.height + r) * args.width + w) * args.batch + first;
        store(at, Vec::zero(), inside);
      }
    }
  }
}

inline void augment_images(Parallel& parallel, const AugmentArgs& args, float* images) {
  const int groups = ceil_div(args.batch, kLanes);
  auto body = [&](int group, int) {
    const int first = group * kLanes;
    const Mask mask = first_lanes(smaller(kLanes, args.batch - first));
    if (args.brightness != nullptr) Colours(args, images, mask, first).run();
    if (args.cut_row != nullptr) cut_squares(args, images, mask, first);
  };
  for_each_task(parallel, groups, body);
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
