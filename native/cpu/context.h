/* What an open library holds: the chosen kernels, the threads and each one's scratch memory. */
#pragma once
#include <memory>
#include <vector>
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

struct lathe_cpu {
  const lathe::Kernels* kernels;
  lathe::Pool pool;
  std::unique_ptr<Scratch[]> scratch;
  explicit lathe_cpu(const lathe::Kernels* chosen, int threads)
      : kernels(chosen), pool(threads), scratch(new Scratch[size_t(threads)]) {}
  /* Grows every thread's scratch; false where memory is short. */
  bool reserve(int64_t floats);
};
