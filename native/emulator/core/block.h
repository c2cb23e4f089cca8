/* Runs a grid, one block after another, one stack a CUDA thread, all on the thread that calls run().
 *
 * A CUDA thread runs until it has to wait: at __syncthreads, or at a warp operation for the other lanes. Which one goes
 * on then is the schedule's choice; forward, reverse and random schedules between them bring out what hides in any one.
 * Nobody can go on: that is a deadlock, and is reported. A thread that returned counts as arrived everywhere.
 */
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "fault.h"
#include "fiber.h"
#include "lathe_emulator.h"
#include "memory.h"
#include "schedule.h"
#include "unordered.h"

namespace lathe::emulator {

struct AddressRange {
  uintptr_t low, high;
  bool writable;
};

struct Grid {
  const Kernel* kernel;
  const void* const* arguments;
  Dim3 blocks, threads;
  size_t dynamic_shared_bytes;
  const std::vector<AddressRange>* module_ranges;  // constants and __device__ variables
  const Unordered* unordered;                      // what other streams did that nothing orders before it
};

struct Outcome {
  Fault fault{};
  uint32_t first_interval = 0, end_interval = 0;  // that its accesses are marked with
};

class BlockRunner {
 public:
  static constexpr unsigned kWarp = 32;
  static constexpr unsigned kMaxThreads = 1024;
  static constexpr unsigned kMaxSpins = 1 << 24;
  static constexpr size_t kMaxStaticSharedBytes = 48 << 10;

  explicit BlockRunner(Memory* memory) : memory_(memory) {}

  /** Runs the grid to its end or to its first fault. */
  Outcome run(const Grid& grid, Schedule* schedule);

  /** Whether kernels without access callbacks have run: what they wrote isn't known to be initialized. */
  bool unchecked_writes() const { return unchecked_writes_; }

  // What the CUDA thread that runs now asks for.
  Dim3 thread_index() const { return me().index; }
  Dim3 block_index() const { return block_; }
  const Grid& grid() const { return *grid_; }
  unsigned linear_thread() const { return current_; }
  void sync_threads();
  void sync_warp(uint32_t mask);
  uint64_t shuffle(uint32_t mask, uint64_t value, unsigned source);
  uint32_t ballot(uint32_t mask, bool predicate);
  void collective(uint32_t mask, void* mine, WarpFunction* function, const void* context);
  void fence() { fenced_ = true; }
  void* shared(const void* site, size_t bytes, size_t alignment);
  void* dynamic_shared() const { return reinterpret_cast<void*>(dynamic_shared_); }
  void access(uintptr_t address, size_t bytes, size_t alignment, Access kind, const void* code);
  /** Lets another thread run, as one that polls must; ends a block in which all only poll. */
  void spin();
  void check_stack(uintptr_t stack_pointer);
  [[noreturn]] void fail(Fault fault);

 private:
  enum class WarpOperation : uint8_t { kNone, kSync, kShuffle, kBallot, kCollective };

  struct CudaThread {
    std::unique_ptr<Stack> stack = std::make_unique<Stack>();
    void* stack_pointer = nullptr;
    Dim3 index;
    bool exited = false;
    // The warp operation that it waits in.
    WarpOperation operation = WarpOperation::kNone;
    uint32_t mask = 0;
    unsigned source = 0;
    uint64_t value = 0;
    uint64_t result = 0;
    WarpFunction* function = nullptr;
    const void* context = nullptr;
  };
  struct Warp {
    uint32_t waiting = 0;
    uint32_t exited = 0;
    uint16_t epoch = 0;  // counts its __syncwarps: they order memory among its lanes
  };
  struct SharedArray {
    const void* site;  // null: the dynamic one
    uintptr_t address;
    size_t bytes;
  };

  CudaThread& me() { return threads_[current_]; }
  const CudaThread& me() const { return threads_[current_]; }

  void run_block();
  void begin_block();
  void end_block();
  [[noreturn]] static void thread_main();
  void thread_returned();
  void go_on();
  void release_barrier();
  uint64_t meet(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source);
  bool complete(unsigned warp, unsigned lane);
  void deadlock();
  [[noreturn]] void stop();
  uintptr_t place_shared(size_t bytes, size_t alignment);
  void access_global(uintptr_t address, size_t bytes, Access kind);
  void check_streams(uintptr_t address, size_t bytes, Access kind);
  [[noreturn]] void out_of_bounds(uintptr_t address, size_t bytes, Access kind);
  bool conflicts(const Cell& cell, bool shared, bool atomic) const;
  [[noreturn]] void race(uintptr_t address, size_t bytes, Access kind, const Cell& other, Access other_kind);

  Memory* memory_;
  std::vector<CudaThread> threads_;
  std::array<Warp, kMaxThreads / kWarp> warps_;
  RunnableSet runnable_;
  unsigned count_ = 0;
  unsigned exited_ = 0;
  unsigned at_barrier_ = 0;
  unsigned current_ = 0;
  unsigned spins_ = 0;          // since a thread last returned or all came to a barrier
  const void* code_ = nullptr;  // of the access that is being checked
  void* home_ = nullptr;        // where run_block goes on when no thread can

  const Grid* grid_ = nullptr;
  Schedule* schedule_ = nullptr;
  Dim3 block_;
  Fault fault_;
  // The first read of what nobody has written yet. If another thread writes it before the next barrier, then the missing
  // barrier is the mistake; so it is reported at the barrier, or with what the garbage led to.
  Fault unwritten_;
  std::vector<SharedArray> shared_arrays_;
  size_t static_shared_bytes_ = 0;
  uintptr_t shared_next_ = 0;
  uintptr_t dynamic_shared_ = 0;

  // Numbers the stretches between barriers, over all launches; 0 is "before everything".
  uint32_t interval_ = 0;
  uint32_t launch_start_ = 0;
  uint32_t block_start_ = 0;
  std::vector<std::pair<uint32_t, unsigned long>> block_starts_;  // of this launch: first interval, linear block
  bool fenced_ = false;  // blocks may then order each other, in ways that aren't followed
  bool unchecked_writes_ = false;
};

unsigned long linear_index(Dim3 index, Dim3 size);

/** The runner whose CUDA thread runs now on this thread, or null where none does. */
BlockRunner* runner_or_null();
/** The same where there must be one. */
BlockRunner& current_runner();

}  // namespace lathe::emulator
