#include <cstring>

#include "block.h"

namespace lathe::emulator {

Dim3 thread_index() { return current_runner().thread_index(); }
Dim3 block_index() { return current_runner().block_index(); }
Dim3 block_size() { return current_runner().grid().threads; }
Dim3 grid_size() { return current_runner().grid().blocks; }
unsigned lane() { return current_runner().linear_thread() % BlockRunner::kWarp; }

void sync_threads() { current_runner().sync_threads(); }
void sync_warp(uint32_t mask) { current_runner().sync_warp(mask); }
uint64_t shuffle(uint32_t mask, uint64_t value, unsigned source) {
  return current_runner().shuffle(mask, value, source);
}
uint32_t ballot(uint32_t mask, bool predicate) { return current_runner().ballot(mask, predicate); }
void collective(uint32_t mask, void* mine, WarpFunction* function, const void* context) {
  current_runner().collective(mask, mine, function, context);
}

namespace {

struct Exchange {
  const void* in;
  void* all;
};

void exchange_all(void* const* lanes, const void* context) {
  size_t bytes = *static_cast<const size_t*>(context);
  for (unsigned to = 0; to < BlockRunner::kWarp; to++)
    for (unsigned from = 0; from < BlockRunner::kWarp && lanes[to] != nullptr; from++) {
      char* place = static_cast<char*>(static_cast<Exchange*>(lanes[to])->all) + from * bytes;
      if (lanes[from] != nullptr)
        std::memcpy(place, static_cast<Exchange*>(lanes[from])->in, bytes);
      else
        std::memset(place, 0, bytes);
    }
}

}  // namespace

void exchange(uint32_t mask, const void* in, void* all, size_t bytes) {
  Exchange mine{in, all};
  collective(mask, &mine, &exchange_all, &bytes);
}

void async_copy(void* to, const void* from, unsigned bytes, unsigned source_bytes) {
  current_runner().async_copy(reinterpret_cast<uintptr_t>(to), reinterpret_cast<uintptr_t>(from), bytes, source_bytes,
                              __builtin_return_address(0));
}
void async_commit() { current_runner().async_commit(); }
void async_wait(unsigned groups) { current_runner().async_wait(groups, __builtin_return_address(0)); }
void async_wait_all() { current_runner().async_wait_all(__builtin_return_address(0)); }

void thread_fence() { current_runner().fence(); }
void* shared(const void* site, size_t bytes, size_t alignment) {
  return current_runner().shared(site, bytes, alignment);
}
void* dynamic_shared() { return current_runner().dynamic_shared(); }

void before_atomic(const volatile void* address, size_t bytes) {
  BlockRunner& runner = current_runner();
  uintptr_t where = reinterpret_cast<uintptr_t>(address);
  if (runner.grid().kernel->checked)
    runner.access(where, bytes, bytes, Access::kAtomic, __builtin_return_address(0));
  runner.poll(where, bytes);
}

}  // namespace lathe::emulator
