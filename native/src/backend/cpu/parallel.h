// How a kernel splits its outputs over threads.
//
// Guarantees: a kernel's result never depends on width(), on which thread runs a task, or on the order of tasks. Tasks
// of one call write disjoint outputs. for_each() returns when every task is done, and what the tasks wrote is visible.
// Not here: a pool of threads, or Serial (serial.h), which runs everything on the caller.
#pragma once

namespace convsweep::cpu {

class Parallel {
 public:
  // `slot` is in [0, width()); two tasks that run at the same time have different slots, so that a slot can own scratch
  // memory. A task must not throw and must not call for_each().
  using Task = void (*)(void* context, int task, int slot);

  // How many tasks may run at the same time; at least 1.
  virtual int width() const noexcept = 0;
  virtual void for_each(int tasks, Task task, void* context) = 0;

 protected:
  ~Parallel() = default;
};

}  // namespace convsweep::cpu
