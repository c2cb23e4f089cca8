/* Threads that take numbered tasks; the caller takes part.
 *
 * A task is claimed by one compare-and-swap on {job number, tasks left}, so a thread that wakes up late finds either
 * nothing left or a newer job, never half of an old one, and the caller never waits for a thread that did not start.
 * Task 0 is the caller's and needs no claim: a job of as many tasks as threads costs the caller one store and one look
 * at what the others have done. Workers spin for some microseconds after a job, then sleep in the kernel.
 */
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace lathe {

class Chain;

/* A moment's rest for one who spins; after many the processor is offered to others. */
void relax(int spin);

using TaskFunction = void (*)(void* job, int64_t task, int thread);

class Pool {
 public:
  /* Workers follow the chain, too; it must outlive the pool. */
  Pool(int threads, Chain& chain);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  int threads() const { return threads_; }
  void run(TaskFunction function, void* job, int64_t tasks);
  /* For those that sleep; one that falls asleep in this moment may be missed. */
  void wake() {
    if (sleepers_.load(std::memory_order_relaxed) != 0) {
      wake_.fetch_add(1, std::memory_order_release);
      wake_.notify_all();
    }
  }

 private:
  void work(int thread);
  bool claim(uint32_t& task);
  bool hasWork(int thread) const;
  void sleep(int thread);

  int threads_;
  Chain& chain_;
  /* What a worker that spins looks at and what it then needs lie in one line, so that one transfer brings both. */
  struct alignas(64) Job {
    std::atomic<uint64_t> ticket{0}; /* job number above, tasks left below */
    TaskFunction function = nullptr;
    void* argument = nullptr;
    uint32_t count = 0;
  } job_;
  alignas(64) std::atomic<uint32_t> done_{0}; /* tasks that workers have done, of all jobs, modulo 2^32 */
  alignas(64) std::atomic<uint32_t> wake_{0};
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::vector<std::thread> workers_;
};

template <class F> void parallel(Pool& pool, int64_t tasks, F& body) {
  pool.run([](void* job, int64_t task, int thread) { (*static_cast<F*>(job))(task, thread); }, &body, tasks);
}

} // namespace lathe
