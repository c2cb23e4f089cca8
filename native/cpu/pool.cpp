#include "pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lathe {
namespace {

constexpr int kSpins = 2000; /* some 20 to 50 microseconds */

void pauseCpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

} // namespace

Pool::Pool(int threads) : threads_(threads) {
  for (int thread = 1; thread < threads; thread++) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

Pool::~Pool() {
  stop_.store(true, std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

bool Pool::runOne(int thread) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & 0xffffffffu) != 0) {
    if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      /* The job cannot end before this task has: its members stay as they are. */
      uint32_t count = count_;
      function_(job_, int64_t(count) - int64_t(ticket & 0xffffffffu), thread);
      if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
        done_.notify_one();
      }
      return true;
    }
  }
  return false;
}

void Pool::run(TaskFunction function, void* job, int64_t tasks) {
  if (threads_ == 1 || tasks <= 1) {
    for (int64_t task = 0; task < tasks; task++) {
      function(job, task, 0);
    }
    return;
  }
  function_ = function;
  job_ = job;
  count_ = uint32_t(tasks);
  done_.store(0, std::memory_order_relaxed);
  uint64_t number = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
  ticket_.store(number << 32 | uint64_t(tasks), std::memory_order_release);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  while (runOne(0)) {
  }
  for (int spin = 0;; spin++) {
    uint32_t done = done_.load(std::memory_order_acquire);
    if (done == count_) {
      return;
    }
    if (spin < kSpins) {
      pauseCpu();
    } else {
      done_.wait(done, std::memory_order_acquire);
    }
  }
}

void Pool::work(int thread) {
  uint32_t seen = 0;
  while (true) {
    uint32_t now = wake_.load(std::memory_order_acquire);
    for (int spin = 0; now == seen && spin < kSpins; spin++) {
      pauseCpu();
      now = wake_.load(std::memory_order_acquire);
    }
    if (now == seen) {
      wake_.wait(seen, std::memory_order_acquire);
      now = wake_.load(std::memory_order_acquire);
    }
    seen = now;
    if (stop_.load(std::memory_order_acquire)) {
      return;
    }
    while (runOne(thread)) {
    }
  }
}

} // namespace lathe
