#include "host_thread.h"

#include <thread>

#include "driver.h"

namespace lathe::emulator {

bool& in_host_function() {
  static thread_local bool in = false;
  return in;
}

// It lives as long as the process: a JVM ends without asking.
void HostThread::serve() {
  in_host_function() = true;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return work_ != nullptr; });
    const auto& work = *work_;
    lock.unlock();
    work();
    lock.lock();
    work_ = nullptr;
    changed_.notify_all();
  }
}

void HostThread::run(const std::function<void()>& work) {
  std::unique_lock lock(mutex_);
  if (!std::exchange(started_, true)) std::thread([this] { serve(); }).detach();
  work_ = &work;
  changed_.notify_all();
  changed_.wait(lock, [this] { return work_ == nullptr; });
}

}  // namespace lathe::emulator
