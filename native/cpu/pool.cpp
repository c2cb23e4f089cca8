#include "pool.h"
#include <sched.h>
#include "chain.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace lathe {
namespace {

/* Some 1 to 2 milliseconds: longer than what lies between two generations. A worker that sleeps is often woken on the
 * processor of its caller, where it waits for many steps instead of helping. */
constexpr int kSpins = 80000;
constexpr int kSpinsBeforeYielding = 2000;

void pauseCpu() {
#if defined(__x86_64__)
  _mm_pause();
#endif
}

} // namespace

void relax(int spin) {
  if (spin < kSpinsBeforeYielding) {
    pauseCpu();
  } else {
    sched_yield();
  }
}

Pool::Pool(int threads, Chain& chain) : threads_(threads), chain_(chain) {
  for (int thread = 1; thread < threads; thread++) {
    workers_.emplace_back([this, thread] { work(thread); });
  }
}

Pool::~Pool() {
  stop_.store(true, std::memory_order_seq_cst);
  wake_.fetch_add(1, std::memory_order_release);
  wake_.notify_all();
  for (std::thread& worker : workers_) {
    worker.join();
  }
}

/* The job cannot end before a claimed task has: its members stay as they are until then. */
bool Pool::claim(uint32_t& task) {
  uint64_t ticket = job_.ticket.load(std::memory_order_acquire);
  while ((ticket & 0xffffffffu) != 0) {
    if (job_.ticket.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      task = job_.count - uint32_t(ticket);
      return true;
    }
  }
  return false;
}

void Pool::run(TaskFunction function, void* argument, int64_t tasks) {
  if (threads_ == 1 || tasks <= 1) {
    for (int64_t task = 0; task < tasks; task++) {
      function(argument, task, 0);
    }
    return;
  }
  job_.function = function;
  job_.argument = argument;
  job_.count = uint32_t(tasks);
  uint32_t before = done_.load(std::memory_order_relaxed); /* no worker has a task: this does not change */
  uint64_t number = (job_.ticket.load(std::memory_order_relaxed) >> 32) + 1;
  job_.ticket.store(number << 32 | uint64_t(tasks - 1), std::memory_order_release);
  /* Unordered with the store above, which therefore need not have arrived: a worker that falls asleep in this moment
   * may be missed. It then misses this job, whose tasks the caller does, and is woken for the next. */
  wake();
  function(argument, 0, 0);
  uint32_t others = uint32_t(tasks - 1);
  if (done_.load(std::memory_order_acquire) - before == others) {
    return;
  }
  for (uint32_t task; claim(task); others--) {
    function(argument, int64_t(task), 0);
  }
  for (int spin = 0;; spin++) {
    uint32_t done = done_.load(std::memory_order_acquire);
    if (done - before == others) {
      return;
    }
    if (spin < kSpins) {
      pauseCpu();
    } else {
      done_.wait(done, std::memory_order_acquire);
    }
  }
}

bool Pool::hasWork(int thread) const {
  return (job_.ticket.load(std::memory_order_relaxed) & 0xffffffffu) != 0 || chain_.waits(thread);
}

/* Until there are tasks, or the pool ends. */
void Pool::sleep(int thread) {
  uint32_t seen = wake_.load(std::memory_order_acquire);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  if (!hasWork(thread) && !stop_.load(std::memory_order_seq_cst)) {
    wake_.wait(seen, std::memory_order_acquire);
  }
  sleepers_.fetch_sub(1, std::memory_order_seq_cst);
}

void Pool::work(int thread) {
  while (!stop_.load(std::memory_order_acquire)) {
    bool found = false;
    for (int spin = 0; spin < kSpins && !found; spin++) {
      found = hasWork(thread);
      if (!found) {
        pauseCpu();
      }
    }
    if (!found) {
      sleep(thread);
    }
    if (chain_.waits(thread)) {
      chain_.follow(thread);
    }
    uint32_t task;
    while (claim(task)) {
      job_.function(job_.argument, int64_t(task), thread);
      done_.fetch_add(1, std::memory_order_acq_rel);
      done_.notify_one();
    }
  }
}

} // namespace lathe
