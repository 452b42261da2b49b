// What all kernel templates share: splitting work over tasks, strips of memory, small arithmetic.
//
// Like every kernels_impl_*.h this file is compiled once an instruction set, in the namespace CONVSWEEP_ISA, on top of
// that set's Vec. It uses no inline function from outside the namespace: the linker keeps one copy of such a function,
// and it could be the copy with instructions that the processor lacks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels.h"
#include "parallel.h"

namespace convsweep::cpu::CONVSWEEP_ISA {

using Index = std::int64_t;

inline constexpr int kLanes = 16;

// Work below which a task would cost more to hand over than to do: elements of a cheap kernel, multiply-adds.
inline constexpr Index kSerialElements = 65536;
inline constexpr double kSerialMultiplyAdds = 1e6;

template <class T>
CONVSWEEP_INLINE constexpr T smaller(T a, T b) {
  return b < a ? b : a;
}
template <class T>
CONVSWEEP_INLINE constexpr T larger(T a, T b) {
  return a < b ? b : a;
}
template <class T>
CONVSWEEP_INLINE constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}
template <class T>
CONVSWEEP_INLINE constexpr T round_up16(T a) {
  return (a + 15) / 16 * 16;
}

// Part `i` of `parts` nearly equal parts of [0, count) starts here.
CONVSWEEP_INLINE constexpr Index part_begin(Index count, int parts, int i) {
  const Index base = count / parts, extra = count % parts;
  return base * i + smaller<Index>(i, extra);
}

CONVSWEEP_INLINE constexpr std::size_t aligned_bytes(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

// f(task, slot), one task straight on the caller.
template <class F>
void for_each_task(Parallel& parallel, int tasks, F& f) {
  if (tasks == 1) {
    f(0, 0);
    return;
  }
  parallel.for_each(
      tasks, [](void* context, int task, int slot) { (*static_cast<F*>(context))(task, slot); }, &f);
}

// Few enough tasks to be cheap, enough to level out threads that run at different speeds.
CONVSWEEP_INLINE int task_count(Parallel& parallel, Index units, Index least_units) {
  const int width = parallel.width();
  if (width <= 1) return 1;
  const Index tasks = smaller<Index>(units / larger<Index>(least_units, 1), Index{4} * width);
  return static_cast<int>(larger<Index>(tasks, 1));
}

// f(begin, end) over parts of [0, count) that begin at multiples of 16.
template <class F>
void for_each_part(Parallel& parallel, Index count, F&& f) {
  const Index vectors = ceil_div<Index>(count, kLanes);
  const int tasks = task_count(parallel, vectors, kSerialElements / kLanes);
  auto body = [&](int task, int) {
    f(part_begin(vectors, tasks, task) * kLanes, smaller(part_begin(vectors, tasks, task + 1) * kLanes, count));
  };
  for_each_task(parallel, tasks, body);
}

// f(i, mask) for each vector of [begin, end); the mask is full except perhaps in the last one.
template <class F>
CONVSWEEP_INLINE void for_each_vector(Index begin, Index end, F&& f) {
  Index i = begin;
  const Mask all = first_lanes(kLanes);
  for (; i + kLanes <= end; i += kLanes) f(i, all);
  if (i < end) f(i, first_lanes(static_cast<int>(end - i)));
}

CONVSWEEP_INLINE void copy_floats(float* to, const float* from, Index count) {
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) {
    const Mask m = first_lanes(static_cast<int>(count - i));
    store(to + i, load(from + i, m), m);
  }
}

CONVSWEEP_INLINE void fill_floats(float* to, float value, Index count) {
  const Vec v = Vec::of(value);
  Index i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, v);
  if (i < count) store(to + i, v, first_lanes(static_cast<int>(count - i)));
}

}  // namespace convsweep::cpu::CONVSWEEP_ISA
