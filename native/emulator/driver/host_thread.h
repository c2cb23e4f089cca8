/* A thread for functions of the host's. They may be Java's, and then the JVM takes the thread for one of its own; so it
 * can't be one that runs kernels, which switch stacks.
 */
#pragma once
#include <condition_variable>
#include <functional>
#include <mutex>

namespace lathe::emulator {

class HostThread {
 public:
  /** Runs `work` there, and waits for it. */
  void run(const std::function<void()>& work);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  const std::function<void()>* work_ = nullptr;

  void serve();
};

}  // namespace lathe::emulator
