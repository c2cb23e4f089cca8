/* Runs a grid: hands its blocks to the workers, and keeps as many at once as the device would, so that blocks that wait
 * for each other get there. Where none gets any further, that is a deadlock, and is reported.
 */
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "fault.h"
#include "lathe_emulator.h"
#include "memory.h"
#include "schedule.h"
#include "sums.h"
#include "unordered.h"
#include "workers.h"

namespace lathe::emulator {

class BlockRunner;

struct AddressRange {
  uintptr_t low, high;
  bool writable;
};

struct Grid {
  const Kernel* kernel;
  const void* const* arguments;
  Dim3 blocks, threads;
  size_t dynamic_shared_bytes;
  size_t most_dynamic_shared_bytes;                // as cuFuncSetAttribute says, or by default
  size_t resident_blocks;                          // that the device holds at once
  const std::vector<AddressRange>* module_ranges;  // constants and __device__ variables
  const Unordered* unordered;                      // what other streams did that nothing orders before it
  Sums sums;                                       // of tensor cores
};

struct Outcome {
  Fault fault{};
  uint32_t first_interval = 0, end_interval = 0;  // that its accesses are marked with
  bool forgot = false;                            // the marks of all launches before
};

/** One launch, as its blocks see it. */
class GridRun {
 public:
  static constexpr uint32_t kIntervals = 16;  // that a block takes at a time

  GridRun(const Grid& grid, const Schedule& schedule, uint32_t first_interval, bool concurrent, bool unchecked_writes)
      : grid(grid),
        schedule(schedule),
        first_interval(first_interval),
        concurrent(concurrent),
        unchecked_writes(unchecked_writes),
        next_interval_(first_interval + 1) {}

  const Grid& grid;
  const Schedule& schedule;
  const uint32_t first_interval;
  const bool concurrent;        // several workers run its blocks
  const bool unchecked_writes;  // of kernels without checks: nobody knows what they have written
  std::atomic<bool> fenced{false};  // blocks may then order each other, in ways that aren't followed
  std::atomic<bool> failed{false};

  /** Marks what several blocks have read: the interval is nobody's. */
  Cell several_blocks() const { return {first_interval, Cell::kSeveral, 0}; }

  /** Numbers for kIntervals stretches between the barriers of a block. */
  uint32_t take_intervals(unsigned long block);
  uint32_t end_interval() const { return next_interval_; }
  /** The block that took an interval. */
  unsigned long block_of(uint32_t interval);
  /** The first fault is kept. */
  void fail(const Fault& fault);
  const Fault& fault() const { return fault_; }

 private:
  std::atomic<uint32_t> next_interval_;
  std::mutex mutex_;
  std::vector<std::pair<uint32_t, unsigned long>> taken_;  // by checked blocks, to be named
  Fault fault_;
};

class GridRunner {
 public:
  explicit GridRunner(Memory* memory);
  ~GridRunner();

  /** Runs the grid to its end or to its first fault. One grid at a time. */
  Outcome run(const Grid& grid, const Schedule& schedule);

  /** Whether kernels without access callbacks have run: what they wrote isn't known to be initialized. */
  bool unchecked_writes() const { return unchecked_writes_; }

 private:
  /** A worker's blocks: some run, some wait for others, some are free. */
  struct Seat {
    std::vector<BlockRunner*> free{}, parked{};
    std::atomic<uint64_t> stuck_since{0};  // the count of progress at which nothing went on; see work()
    std::atomic<bool> done{false};
  };
  struct Launch;

  Memory* memory_;
  Workers workers_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<BlockRunner>> runners_;
  std::vector<std::unique_ptr<Seat>> seats_;
  uint32_t interval_ = 1;  // 0 is "before everything"
  bool unchecked_writes_ = false;

  void work(Launch& launch, unsigned worker);
  BlockRunner& free_runner(Seat& seat);
};

}  // namespace lathe::emulator
