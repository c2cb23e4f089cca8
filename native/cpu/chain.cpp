#include "chain.h"

namespace lathe {

Chain::Chain(int threads)
    : threads_(threads), operations_(new Operation[kOperations]), cursors_(new Cursor[size_t(threads)]),
      bounds_(new int64_t[size_t(threads) + 1]()) {}

void Chain::divideEvenly() {
  for (int thread = 0; thread <= threads_; thread++) {
    bounds_[size_t(thread)] = rows_ * thread / threads_;
  }
}

void Chain::divide(const int64_t* bounds) {
  bool same = true;
  for (int thread = 0; thread <= threads_; thread++) {
    same &= bounds_[size_t(thread)] == bounds[thread];
  }
  if (same) {
    return;
  }
  int64_t rows = rows_;
  finish(); /* no recording has another division than the even one */
  rows_ = rows;
  for (int thread = 0; thread <= threads_; thread++) {
    bounds_[size_t(thread)] = bounds[thread];
  }
}

/* One at a time has a thread's cursor: the worker, or the caller in its place. */
void Chain::follow(int thread) {
  Cursor& cursor = cursors_[size_t(thread)];
  if (cursor.taken.load(std::memory_order_relaxed) || cursor.taken.exchange(true, std::memory_order_acquire)) {
    return;
  }
  uint32_t at = cursor.done.load(std::memory_order_relaxed);
  while (at != pushed_.load(std::memory_order_acquire)) {
    const Operation& operation = operations_[at % kOperations];
    int64_t from = bound(thread);
    int64_t to = bound(thread + 1);
    if (from < to) {
      operation.run(operation.closure, from, to, thread);
    }
    cursor.done.store(++at, std::memory_order_release);
  }
  cursor.taken.store(false, std::memory_order_release);
}

void Chain::record(const Operation& operation) {
  if (recording_->operations.empty()) {
    recording_->rows = rows_;
  }
  recording_->whole &= recording_->rows == rows_;
  keep(recording_->operations, operation);
}

template <class T> void Chain::keep(std::vector<T>& all, const T& one) {
  try {
    all.push_back(one);
  } catch (const std::bad_alloc&) { /* then there is no recording, and the step runs as it does */
    recording_->whole = false;
  }
}

/* Layers ask the same of the same numbers: once is enough. */
void Chain::record(const Condition& condition) {
  for (const Condition& known : recording_->conditions) {
    if (known.holds == condition.holds && std::memcmp(known.closure, condition.closure, sizeof known.closure) == 0) {
      return;
    }
  }
  keep(recording_->conditions, condition);
}

void Chain::record(const Numbers& numbers) {
  for (const Numbers& known : recording_->numbers) {
    if (known.begin == numbers.begin && known.bytes == numbers.bytes) {
      return;
    }
  }
  keep(recording_->numbers, numbers);
}

void Chain::waitForAll() {
  uint32_t all = pushed_.load(std::memory_order_relaxed);
  for (int thread = 1; thread < threads_; thread++) {
    for (int spin = 0; cursors_[size_t(thread)].done.load(std::memory_order_acquire) != all; spin++) {
      follow(thread);
      relax(spin);
    }
  }
  begun_ = all;
  rows_ = 0;
}

} // namespace lathe
