/* Threads that run kernels, one a core; the first is the caller's. None may be the JVM's: kernels switch stacks, which the
 * JVM would take for a fault of its own.
 */
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>

namespace lathe::emulator {

class Workers {
 public:
  /** As many as the machine has cores, or as LATHE_EMULATOR_WORKERS says. */
  Workers();

  static constexpr unsigned kMost = 64;

  unsigned count() const { return count_; }

  /**
   * Calls `work(worker)` on the first `wanted` workers, each at most once; the first is this thread. One that comes too
   * late, when the first has returned, stays out. Returns when all that came have returned.
   */
  void run(unsigned wanted, const std::function<void(unsigned worker)>& work);

 private:
  std::mutex mutex_;
  std::condition_variable wake_[kMost], finished_;
  unsigned count_;
  unsigned started_ = 1;
  const std::function<void(unsigned)>* work_ = nullptr;
  unsigned wanted_ = 0;
  unsigned running_ = 0;
  unsigned long turn_ = 0;

  void serve(unsigned worker);
};

}  // namespace lathe::emulator
