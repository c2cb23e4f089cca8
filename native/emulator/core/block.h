/* One block of a grid, one stack a CUDA thread, all on the worker that began it.
 *
 * A CUDA thread runs until it has to wait: at __syncthreads, or at a warp operation for the other lanes. Which one goes
 * on then is the schedule's choice; forward, reverse and random schedules between them bring out what hides in any one.
 * Nobody can go on: that is a deadlock, and is reported. A thread that returned counts as arrived everywhere. A block
 * whose threads only poll is parked, so that the blocks that it may be waiting for get their turn.
 */
#pragma once
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "async_copy.h"
#include "fault.h"
#include "fiber.h"
#include "grid.h"
#include "lathe_emulator.h"
#include "memory.h"
#include "schedule.h"

namespace lathe::emulator {

class BlockRunner {
 public:
  static constexpr unsigned kWarp = 32;
  static constexpr unsigned kMaxThreads = 1024;
  static constexpr size_t kMaxStaticSharedBytes = 48 << 10;
  static constexpr size_t kMaxSharedBytes = 227 << 10;

  enum class State { kEnded, kFailed, kParked };

  BlockRunner(Memory* memory, unsigned arena) : memory_(memory), arena_(memory->arena(arena)) {}

  // What the worker asks for.
  void begin(GridRun& run, unsigned long block);
  State go_on_with();
  /** Whether anything but polling has happened since this was last asked. */
  bool take_progress() { return std::exchange(progress_, false); }
  const Fault& fault() const { return fault_; }
  /** The fault of a parked block, if nothing will ever end its wait. */
  Fault waits_for_ever();
  /** Ends a parked block, whose threads' stacks are never gone back to. */
  void abandon() { end_block(); }

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
  void async_copy(uintptr_t to, uintptr_t from, unsigned bytes, unsigned source_bytes, const void* code);
  void async_commit();
  void async_wait(unsigned groups, const void* code);
  void async_wait_all(const void* code);
  void fence();
  void* shared(const void* site, size_t bytes, size_t alignment);
  void* dynamic_shared() const { return reinterpret_cast<void*>(dynamic_shared_); }
  void access(uintptr_t address, size_t bytes, size_t alignment, Access kind, const void* code);
  /** Goes before an access that may be one of many in a wait: if it is, others go on first. */
  void poll(uintptr_t address, size_t bytes);
  void check_stack(uintptr_t stack_pointer);
  [[noreturn]] void fail(Fault fault);

 private:
  enum class WarpOperation : uint8_t { kNone, kSync, kShuffle, kBallot, kCollective };

  struct CudaThread {
    void* stack_pointer = nullptr;
    Stack* stack = nullptr;  // from its first step on
    Dim3 index;
    bool exited = false;
    // What it polled last, and what was there.
    uintptr_t polled = 0;
    uint64_t polled_value = 0;
  };
  /** A warp, and by lane the operation that it waits in. */
  struct Warp {
    uint32_t waiting = 0;
    uint32_t exited = 0;
    uint16_t epoch = 0;  // counts its __syncwarps: they order memory among its lanes
    std::array<WarpOperation, kWarp> operation;
    std::array<uint32_t, kWarp> mask;
    std::array<uint64_t, kWarp> value;  // what a lane passed, and then what it gets
    std::array<unsigned, kWarp> source;
    std::array<WarpFunction*, kWarp> function;
    std::array<const void*, kWarp> context;
  };
  struct SharedArray {
    const void* site;  // null: the dynamic one
    uintptr_t address;
    size_t bytes;
  };

  CudaThread& me() { return threads_[current_]; }
  const CudaThread& me() const { return threads_[current_]; }

  void end_block();
  [[noreturn]] static void thread_main();
  bool thread_returned();
  void go_on(int next);
  void* start(CudaThread& thread);
  void release_barrier();
  uint64_t meet(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source);
  bool complete(unsigned warp, unsigned lane);
  void check_agreement(unsigned warp, uint32_t here, unsigned lane);
  void run_function(Warp& warp, uint32_t here, unsigned lane);
  void deadlock();
  void park();
  [[noreturn]] void stop();
  uintptr_t place_shared(size_t bytes, size_t alignment);
  void finish(const AsyncCopy& copy, const void* code);
  void next_interval();
  bool is_mine(uint32_t interval) const;
  void access_window(uintptr_t address, size_t bytes, Access kind);
  template <bool kShared, bool kWrite>
  bool mark_plain(uintptr_t address, size_t bytes);
  bool is_plain_access(uintptr_t address, size_t bytes, bool shared, Access kind);
  Cell merged_reader(const Cell& before, Cell mine, bool shared) const;
  bool examine(uintptr_t address, size_t bytes, size_t whole_bytes, Access kind, Fault* fault);
  void check_streams(uintptr_t address, size_t bytes, Access kind);
  Fault out_of_bounds(uintptr_t address, size_t bytes, Access kind);
  bool conflicts(const Cell& cell, bool shared, bool atomic) const;
  Fault race(uintptr_t address, size_t bytes, Access kind, const Cell& other, Access other_kind);

  Memory* memory_;
  const uintptr_t arena_;  // of its shared memory
  std::vector<CudaThread> threads_;
  std::vector<std::unique_ptr<Stack>> stacks_;
  std::vector<Stack*> free_stacks_;
  std::vector<AsyncCopies> async_;  // by thread
  std::array<Warp, kMaxThreads / kWarp> warps_;
  RunnableSet runnable_;
  unsigned count_ = 0;
  unsigned exited_ = 0;
  unsigned at_barrier_ = 0;
  unsigned current_ = 0;
  unsigned polls_ = 0;  // since it was gone on with
  bool progress_ = false;
  bool parked_ = false;
  const void* code_ = nullptr;  // of the access that is being checked
  void* home_ = nullptr;        // where go_on_with goes on when no thread can

  GridRun* run_ = nullptr;
  const Grid* grid_ = nullptr;
  Schedule schedule_;
  unsigned long block_number_ = 0;
  Dim3 block_;
  Fault fault_;
  // The first read of what nobody has written yet. If another thread writes it before the next barrier, then the missing
  // barrier is the mistake; so it is reported at the barrier, or with what the garbage led to.
  Fault unwritten_;
  bool unwritten_is_told_ = true;  // kernels without checks haven't run
  std::vector<SharedArray> shared_arrays_;
  size_t static_shared_bytes_ = 0;
  uintptr_t shared_next_ = 0;
  uintptr_t dynamic_shared_ = 0;

  // Numbers of the stretches between its barriers, over all launches. They are taken a few at a time.
  uint32_t interval_ = 0;
  std::vector<uint32_t> taken_;  // the first of each few
};

unsigned long linear_index(Dim3 index, Dim3 size);

/** The block whose CUDA thread runs now on this thread, or null where none does. */
BlockRunner* runner_or_null();
/** The same where there must be one. */
BlockRunner& current_runner();

}  // namespace lathe::emulator
