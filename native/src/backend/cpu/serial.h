// Runs a kernel's tasks on the caller. Not included by the kernels themselves: a class with inline virtual functions
// there would leave a copy of them compiled for a processor that may not be this one.
#pragma once

#include "parallel.h"

namespace convsweep::cpu {

class Serial final : public Parallel {
 public:
  int width() const noexcept override { return 1; }
  void for_each(int tasks, Task task, void* context) override {
    for (int i = 0; i < tasks; ++i) task(context, i, 0);
  }
};

}  // namespace convsweep::cpu
