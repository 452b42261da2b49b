// A few threads that wait without spinning.
//
// Guarantees: run() calls job(task, slot) once for each task in [0, tasks) on at most width() threads, the caller's
// among them, and returns when all are done; what they wrote is then visible to the caller. `slot` is in [0, width())
// and never used by two threads at once. The first exception a job throws is thrown again by run(), after the others
// have ended. Not reentrant: a job must not call run().
//
// Not here: any order of tasks, any priority. Results must depend on neither.
#pragma once

#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace convsweep {

class ThreadPool {
 public:
  using Job = void (*)(void* context, int task, int slot);

  // Starts width - 1 threads; width >= 1.
  explicit ThreadPool(int width);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int width() const { return width_; }
  void run(int tasks, Job job, void* context);

 private:
  void serve(int slot);
  void work(int slot, std::unique_lock<std::mutex>& lock);

  const int width_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Job job_ = nullptr;
  void* context_ = nullptr;
  int next_ = 0, tasks_ = 0, busy_ = 0;
  bool stop_ = false;
  std::exception_ptr failure_;
};

}  // namespace convsweep
