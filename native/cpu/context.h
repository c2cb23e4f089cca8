/* What an open library holds: the chosen kernels, the threads and each one's scratch memory. */
#pragma once
#include <algorithm>
#include <memory>
#include <vector>
#include "chain.h"
#include "kernels.h"
#include "pool.h"

/* Memory of one thread that only grows, aligned to 64 bytes. */
class Scratch {
 public:
  Scratch() = default;
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch();
  /* Null where memory is short. */
  float* floats(int64_t count);

 private:
  void* memory_ = nullptr;
  int64_t bytes_ = 0;
};

struct lathe_recording : lathe::Recording {};

struct lathe_cpu {
  const lathe::Kernels* kernels;
  std::unique_ptr<Scratch[]> scratch;
  Scratch integers; /* activations of a product that all threads share */
  std::unique_ptr<lathe_recording> recording; /* while a step is recorded */
  lathe::Chain chain;
  lathe::Pool pool;
  explicit lathe_cpu(const lathe::Kernels* chosen, int threads)
      : kernels(chosen), scratch(new Scratch[size_t(threads)]), chain(threads), pool(threads, chain) {}
  /* Grows every thread's scratch; false where memory is short. */
  bool reserve(int64_t floats);

 private:
  int64_t reserved_ = 0;
};

/* body(from, to) for rows in pieces: as the next operation of a chain, or by several threads where there are enough
 * elements to make it worth waking them. The body captures by value, since a chain goes on after this has returned. */
template <class F> void overRows(lathe_cpu* cpu, int64_t rows, int64_t elements_per_row, F body) {
  constexpr int64_t kWorthThreads = 1 << 17;
  if (cpu->chain.goesOn(rows)) {
    cpu->chain.add(cpu->pool, rows, [body](int64_t from, int64_t to, int) { body(from, to); });
    return;
  }
  cpu->chain.finish();
  if (cpu->pool.threads() == 1 || rows * elements_per_row < kWorthThreads) {
    body(int64_t(0), rows);
    return;
  }
  int64_t step = std::max<int64_t>(1, rows / (cpu->pool.threads() * 4));
  auto piece = [&](int64_t index, int) { body(index * step, std::min(rows, (index + 1) * step)); };
  lathe::parallel(cpu->pool, (rows + step - 1) / step, piece);
}
