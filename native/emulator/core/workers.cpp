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
    if (worker == 0) work_ = nullptr;
    if (--running_ == 0 && work_ == nullptr) finished_.notify_all();
  }
}

void Workers::run(unsigned wanted, const std::function<void(unsigned)>& work) {
  std::unique_lock lock(mutex_);
  wanted = std::min(wanted, count_);
  for (; started_ < wanted; started_++) std::thread([this, worker = started_] { serve(worker); }).detach();
  work_ = &work;
  wanted_ = wanted;
  turn_++;
  for (unsigned i = 0; i < wanted; i++) wake_[i].notify_one();
  finished_.wait(lock, [&] { return work_ == nullptr && running_ == 0; });
}

}  // namespace lathe::emulator
