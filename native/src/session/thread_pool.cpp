#include "convsweep/thread_pool.h"

#include <system_error>
#include <utility>

#include "convsweep/error.h"

namespace convsweep {

ThreadPool::ThreadPool(int width) : width_(width) {
  try {
    for (int slot = 1; slot < width; ++slot) threads_.emplace_back([this, slot] { serve(slot); });
  } catch (const std::system_error& error) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
    throw Error(ErrorCode::ENGINE_OUT_OF_MEMORY, "threads",
                "the system refused thread " + std::to_string(threads_.size() + 2) + " of " + std::to_string(width) +
                    ": " + error.what());
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::serve(int slot) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return stop_ || next_ < tasks_; });
    if (stop_) return;
    work(slot, lock);
  }
}

// Tasks are taken under the lock: they are thousands of operations each, so the lock is never what costs.
void ThreadPool::work(int slot, std::unique_lock<std::mutex>& lock) {
  ++busy_;
  while (next_ < tasks_) {
    const int task = next_++;
    const Job job = job_;
    void* const context = context_;
    lock.unlock();
    std::exception_ptr failure;
    try {
      job(context, task, slot);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure && !failure_) failure_ = failure;
  }
  if (--busy_ == 0) done_.notify_one();
}

void ThreadPool::run(int tasks, Job job, void* context) {
  if (width_ == 1 || tasks == 1) {
    for (int task = 0; task < tasks; ++task) job(context, task, 0);
    return;
  }
  std::unique_lock<std::mutex> lock(mutex_);
  job_ = job;
  context_ = context;
  next_ = 0;
  tasks_ = tasks;
  if (tasks - 1 >= width_ - 1) {
    wake_.notify_all();
  } else {
    for (int i = 1; i < tasks; ++i) wake_.notify_one();
  }
  work(0, lock);
  done_.wait(lock, [this] { return busy_ == 0; });
  tasks_ = next_ = 0;
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace convsweep
