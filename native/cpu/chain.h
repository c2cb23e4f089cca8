/* Operations in which every row keeps to itself, chained: each thread carries its rows of a batch through one operation
 * after another and waits for nobody, until somebody wants to see the result.
 *
 * A batch that decodes is such a chain from the embedding to the logits: a token meets other tokens only in the pages of
 * its own sequence. Handing over every operation, and waiting at its end, would cost a model of few weights more than
 * half of what a second thread brings.
 *
 * The caller adds an operation and does its own rows at once; a worker follows as fast as it can. Rows are divided in
 * one way for a number of rows, evenly or between the sequences of prompts, so that each finds what it wrote before; an
 * operation that looks across a thread's rows, or has another number of them, must come after finish(). Who finishes takes over what a worker has not begun, so that a
 * worker that sleeps, or was put off its processor, delays nothing.
 *
 * Every hand-over costs each side some lines of memory from the other's cache. A step that is repeated is recorded while
 * it runs, and replayed as one operation that carries its rows through all of them.
 */
#pragma once
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>
#include "pool.h"

namespace lathe {

/* What an operation does, and all that it looks at. */
struct alignas(64) Operation {
  void (*run)(const void* closure, int64_t from, int64_t to, int thread);
  alignas(16) unsigned char closure[240];
};

/* What an operation asks of numbers in memory before it runs: a lathe_status. */
struct Condition {
  int32_t (*holds)(const void* closure);
  alignas(16) unsigned char closure[112];
};

/* Memory that the caller writes anew before each step. */
struct Numbers {
  const char* begin;
  int64_t bytes;
};

/* A step as it was chained. Its operations and conditions point to the same memory as they did then. */
struct Recording {
  int64_t rows = 0;
  std::vector<Operation> operations;
  std::vector<Condition> conditions;
  std::vector<Numbers> numbers;
  bool whole = true; /* false where something ran that was not chained, or with other rows */
};

class Chain {
 public:
  /* Longer ones are worth dividing in a way that suits each operation. */
  static constexpr int64_t kRows = 64;

  explicit Chain(int threads);
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  /* Whether operations over so many rows can be chained at all. */
  bool fits(int64_t rows) const { return threads_ > 1 && rows > 1 && rows <= kRows; }
  /* Whether there is a chain that such an operation would go on with. */
  bool goesOn(int64_t rows) const { return rows != 0 && rows == rows_; }

  /* body(from, to, thread) for every thread's rows; the caller's are done when this returns. What it captures by value
   * is all that it may look at, and lasts until finish(). */
  template <class F> void add(Pool& pool, int64_t rows, F body) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= sizeof(Operation::closure), "captures too much");
    uint32_t at = pushed_.load(std::memory_order_relaxed);
    if (rows != rows_) {
      settle();
      rows_ = rows;
      divideEvenly();
      pool.wake();
    } else if (at - begun_ == kOperations) {
      settle();
      rows_ = rows; /* divided as before */
      pool.wake();
    }
    Operation& operation = operations_[at % kOperations];
    operation.run = [](const void* closure, int64_t from, int64_t to, int thread) {
      (*std::launder(static_cast<const F*>(closure)))(from, to, thread);
    };
    new (operation.closure) F(body);
    if (recording_) {
      record(operation);
    }
    pushed_.store(at + 1, std::memory_order_release);
    body(int64_t(0), bound(1), 0);
  }

  /* Goes on with rows divided there: thread t has bounds[t] to bounds[t + 1]. */
  void divide(const int64_t* bounds);
  int threads() const { return threads_; }

  /* Whether what an operation asks of numbers in memory holds now; a replay asks again. */
  template <class F> int32_t require(F condition) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= sizeof(Condition::closure), "captures too much");
    int32_t status = condition();
    if (recording_ && status == 0) {
      Condition asked{};
      asked.holds = [](const void* closure) -> int32_t {
        return (*std::launder(static_cast<const F*>(closure)))();
      };
      new (asked.closure) F(condition);
      record(asked);
    }
    return status;
  }

  /* That an operation reads numbers of the batch. A thread that replays fetches all of them at once, where one after the
   * other would each be waited for. */
  template <class T> void reads(const T* numbers, int64_t count) {
    if (recording_) {
      record(Numbers{reinterpret_cast<const char*>(numbers), count * int64_t(sizeof(T))});
    }
  }

  /* Waits until every row of every operation is done. An operation that calls it is none of a chain. */
  void finish() {
    settle();
    if (recording_) {
      recording_->whole = false;
    }
  }
  /* The same, on the way to an operation of a chain. */
  void settle() {
    if (rows_ != 0) {
      waitForAll();
    }
  }

  /* From now on operations are recorded, too; with null no longer. */
  void record(Recording* recording) {
    settle();
    recording_ = recording;
  }

  /* For a worker: whether there is something to do, and doing it. */
  bool waits(int thread) const {
    return pushed_.load(std::memory_order_relaxed) != cursors_[thread].done.load(std::memory_order_relaxed);
  }
  void follow(int thread);

 private:
  static constexpr uint32_t kOperations = 64;

  struct alignas(64) Cursor {
    std::atomic<uint32_t> done{0};
    std::atomic<bool> taken{false};
  };

  /* The first row of a thread. */
  int64_t bound(int thread) const { return bounds_[size_t(thread)]; }
  void divideEvenly();
  void waitForAll();
  void record(const Operation& operation);
  void record(const Condition& condition);
  void record(const Numbers& numbers);
  template <class T> void keep(std::vector<T>& all, const T& one);

  int threads_;
  std::unique_ptr<Operation[]> operations_;
  std::unique_ptr<Cursor[]> cursors_;
  std::unique_ptr<int64_t[]> bounds_; /* where each thread's rows begin, and the last one's end; as rows_ */
  int64_t rows_ = 0;   /* of the operations that may not be done yet, 0 for none; read by workers after pushed_ */
  uint32_t begun_ = 0; /* pushed_ at the last finish(): all before it are done */
  Recording* recording_ = nullptr;
  alignas(64) std::atomic<uint32_t> pushed_{0};
};

} // namespace lathe
