#include "workers.h"

#include <algorithm>
#include <cstdlib>
#include <thread>

namespace lathe::emulator {

namespace {

unsigned wanted_count() {
  unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const char* wanted = std::getenv("LATHE_EMULATOR_WORKERS");
  int count = wanted == nullptr ? 0 : std::atoi(wanted);
  return std::min(Workers::kMost, count > 0 ? static_cast<unsigned>(count) : cores);
}

}  // namespace

Workers::Workers() : count_(wanted_count()) {}

// They live as long as the process: a driver can't be shut down, and a JVM ends without asking.
void Workers::serve(unsigned worker) {
  std::unique_lock lock(mutex_);
  for (unsigned long seen = 0;;) {
    wake_[worker].wait(lock, [&] { return work_ != nullptr && turn_ != seen && worker < wanted_; });
    seen = turn_;
    const auto& work = *work_;
    running_++;
    lock.unlock();
    work(worker);
    lock.lock();
    if (--running_ == 0) finished_.notify_all();
  }
}

void Workers::run(unsigned wanted, const std::function<void(unsigned)>& work) {
  wanted = std::min(wanted, count_);
  if (wanted > 1) {
    std::scoped_lock lock(mutex_);
    for (; started_ < wanted; started_++) std::thread([this, worker = started_] { serve(worker); }).detach();
    work_ = &work;
    wanted_ = wanted;
    turn_++;
    for (unsigned i = 1; i < wanted; i++) wake_[i].notify_one();
  }
  work(0);
  if (wanted == 1) return;
  std::unique_lock lock(mutex_);
  work_ = nullptr;
  finished_.wait(lock, [&] { return running_ == 0; });
}

}  // namespace lathe::emulator
