#include "block.h"

#include <cstdlib>
#include <cstring>

namespace lathe::emulator {

namespace {

thread_local BlockRunner* running = nullptr;

constexpr size_t kSharedRedZoneBytes = 256;

Dim3 unravel(unsigned long index, Dim3 size) {
  return {static_cast<unsigned>(index % size.x), static_cast<unsigned>(index / size.x % size.y),
          static_cast<unsigned>(index / size.x / size.y)};
}

}  // namespace

BlockRunner* runner_or_null() { return running; }

BlockRunner& current_runner() {
  if (running == nullptr) abort();  // a device function was called outside a kernel
  return *running;
}

Outcome BlockRunner::run(const Grid& grid, Schedule* schedule) {
  grid_ = &grid;
  schedule_ = schedule;
  count_ = grid.threads.x * grid.threads.y * grid.threads.z;
  while (threads_.size() < count_) threads_.emplace_back();
  if (!grid.kernel->checked) unchecked_writes_ = true;
  if (interval_ > 0xf0000000) {
    memory_->forget_accesses();
    interval_ = 0;
  }
  launch_start_ = interval_ + 1;
  block_starts_.clear();
  fenced_ = false;
  fault_ = unwritten_ = Fault();
  running = this;
  unsigned long blocks = static_cast<unsigned long>(grid.blocks.x) * grid.blocks.y * grid.blocks.z;
  for (unsigned long index : schedule->block_order(blocks)) {
    block_ = unravel(index, grid.blocks);
    block_start_ = ++interval_;
    block_starts_.emplace_back(block_start_, index);
    run_block();
    if (fault_.kind != FaultKind::kNone) break;
  }
  running = nullptr;
  return {fault_, launch_start_, interval_ + 1};
}

void BlockRunner::run_block() {
  begin_block();
  current_ = static_cast<unsigned>(schedule_->first(runnable_, count_));
  lathe_emulator_switch(&home_, me().stack_pointer);
  // Back here: all have returned, or one failed, or none can go on.
  if (fault_.kind == FaultKind::kNone) fault_ = unwritten_;
  if (fault_.kind == FaultKind::kNone && exited_ < count_) deadlock();
  end_block();
}

void BlockRunner::begin_block() {
  exited_ = at_barrier_ = spins_ = 0;
  warps_.fill(Warp());
  runnable_.clear();
  for (unsigned i = 0; i < count_; i++) {
    CudaThread& thread = threads_[i];
    thread.index = unravel(i, grid_->threads);
    thread.exited = false;
    thread.operation = WarpOperation::kNone;
    thread.stack_pointer = thread.stack->prepare(&BlockRunner::thread_main);
    runnable_.add(i);
  }
  // The last warp may have fewer lanes; those that it lacks count as returned.
  if (unsigned rest = count_ % kWarp; rest != 0) warps_[count_ / kWarp].exited = ~uint32_t{0} << rest;
  shared_arrays_.clear();
  static_shared_bytes_ = 0;
  shared_next_ = memory_->arena(0);
  dynamic_shared_ = place_shared(grid_->dynamic_shared_bytes, 1024);
  shared_arrays_.push_back({nullptr, dynamic_shared_, grid_->dynamic_shared_bytes});
}

void BlockRunner::end_block() {
  uintptr_t arena = memory_->arena(0);
  memory_->mark(arena, shared_next_ - arena, ByteState::kUnaddressable);
}

void BlockRunner::thread_main() {
  BlockRunner& runner = *running;
  runner.grid_->kernel->invoke(runner.grid_->arguments);
  runner.thread_returned();
  abort();
}

void BlockRunner::thread_returned() {
  me().exited = true;
  exited_++;
  spins_ = 0;
  runnable_.remove(current_);
  if (at_barrier_ > 0 && at_barrier_ + exited_ == count_) release_barrier();
  unsigned warp = current_ / kWarp;
  warps_[warp].exited |= uint32_t{1} << current_ % kWarp;
  for (unsigned lane = 0; lane < kWarp; lane++)
    if (warps_[warp].waiting >> lane & 1) complete(warp, lane);
  go_on();
}

/** Leaves the thread that runs now where it is, and lets the schedule choose who goes on; that may be this one. */
void BlockRunner::go_on() {
  CudaThread& from = me();
  int next = schedule_->next(runnable_, current_, count_);
  if (next < 0) {
    lathe_emulator_switch(&from.stack_pointer, home_);
    return;
  }
  if (static_cast<unsigned>(next) == current_) return;
  current_ = static_cast<unsigned>(next);
  lathe_emulator_switch(&from.stack_pointer, me().stack_pointer);
}

void BlockRunner::fail(Fault fault) {
  fault.block = block_;
  fault.thread = me().index;
  if (fault.address != 0) fault.code = code_;
  fault_ = unwritten_.kind != FaultKind::kNone && fault.kind != FaultKind::kRace ? unwritten_ : fault;
  stop();
}

/** Leaves the block for good: its threads' stacks are never gone back to. */
void BlockRunner::stop() {
  void* abandoned;
  lathe_emulator_switch(&abandoned, home_);
  abort();
}

void BlockRunner::deadlock() {
  for (unsigned i = 0; i < count_; i++) {
    if (threads_[i].exited) continue;
    bool in_warp = threads_[i].operation != WarpOperation::kNone;
    fault_.kind = FaultKind::kDeadlock;
    fault_.block = block_;
    fault_.thread = threads_[i].index;
    fault_.detail =
        in_warp ? "waits for lanes of its warp that never come" : "waits at __syncthreads for threads that never come";
    if (in_warp) return;  // the likelier cause: whoever waits in a warp keeps the others from the barrier
  }
}

void BlockRunner::sync_threads() {
  runnable_.remove(current_);
  at_barrier_++;
  if (at_barrier_ + exited_ == count_) release_barrier();
  go_on();
}

void BlockRunner::spin() {
  if (++spins_ > kMaxSpins)
    fail({.kind = FaultKind::kDeadlock, .detail = "polls with 16 million atomics, and no thread gets any further"});
  go_on();
}

void BlockRunner::release_barrier() {
  if (unwritten_.kind != FaultKind::kNone) {
    fault_ = unwritten_;
    stop();
  }
  at_barrier_ = spins_ = 0;
  interval_++;
  for (unsigned i = 0; i < count_; i++)
    if (!threads_[i].exited) runnable_.add(i);
}

void BlockRunner::sync_warp(uint32_t mask) { meet(WarpOperation::kSync, mask, 0, 0); }

uint64_t BlockRunner::shuffle(uint32_t mask, uint64_t value, unsigned source) {
  return meet(WarpOperation::kShuffle, mask, value, source);
}

uint32_t BlockRunner::ballot(uint32_t mask, bool predicate) {
  return static_cast<uint32_t>(meet(WarpOperation::kBallot, mask, predicate, 0));
}

void BlockRunner::collective(uint32_t mask, void* mine, WarpFunction* function, const void* context) {
  me().function = function;
  me().context = context;
  meet(WarpOperation::kCollective, mask, reinterpret_cast<uintptr_t>(mine), 0);
}

uint64_t BlockRunner::meet(WarpOperation operation, uint32_t mask, uint64_t value, unsigned source) {
  CudaThread& thread = me();
  unsigned warp = current_ / kWarp, lane = current_ % kWarp;
  if ((mask >> lane & 1) == 0)
    fail({.kind = FaultKind::kDivergence, .detail = "is not in the mask of its own warp operation"});
  thread.operation = operation;
  thread.mask = mask;
  thread.value = value;
  thread.source = source;
  warps_[warp].waiting |= uint32_t{1} << lane;
  runnable_.remove(current_);
  complete(warp, lane);
  go_on();
  return thread.result;
}

/** Ends the operation that `lane` waits in, if all lanes of its mask have come or returned. */
bool BlockRunner::complete(unsigned warp_index, unsigned lane) {
  Warp& warp = warps_[warp_index];
  CudaThread* lanes = &threads_[warp_index * kWarp];
  uint32_t mask = lanes[lane].mask;
  if ((mask & ~(warp.waiting | warp.exited)) != 0) return false;
  WarpOperation operation = lanes[lane].operation;
  uint32_t here = mask & warp.waiting;
  uint32_t votes = 0;
  auto diverged = [&](unsigned who, const char* detail) {
    current_ = warp_index * kWarp + who;
    fail({.kind = FaultKind::kDivergence, .detail = detail});
  };
  for (unsigned i = 0; i < kWarp; i++) {
    if ((here >> i & 1) == 0) continue;
    bool same = lanes[i].operation == operation && lanes[i].mask == mask;
    if (operation == WarpOperation::kCollective) same = same && lanes[i].function == lanes[lane].function;
    if (!same) diverged(i, "meets lanes of its warp in another operation, or with another mask");
    if (lanes[i].value != 0) votes |= uint32_t{1} << i;
  }
  if (operation == WarpOperation::kCollective) {
    void* all[kWarp] = {};
    for (unsigned i = 0; i < kWarp; i++)
      if (here >> i & 1) all[i] = reinterpret_cast<void*>(lanes[i].value);
    lanes[lane].function(all, lanes[lane].context);
  }
  for (unsigned i = 0; i < kWarp; i++) {
    if ((here >> i & 1) == 0) continue;
    if (operation == WarpOperation::kShuffle) {
      if ((here >> lanes[i].source & 1) == 0) diverged(i, "shuffles a value from a lane that does not take part");
      lanes[i].result = lanes[lanes[i].source].value;
    } else {
      lanes[i].result = votes;
    }
  }
  for (unsigned i = 0; i < kWarp; i++) {
    if ((here >> i & 1) == 0) continue;
    lanes[i].operation = WarpOperation::kNone;
    runnable_.add(warp_index * kWarp + i);
  }
  warp.waiting &= ~here;
  // A shuffle or vote orders no memory; __syncwarp does. For a part of the warp this forgives a little too much.
  if (operation == WarpOperation::kSync) warp.epoch++;
  return true;
}

uintptr_t BlockRunner::place_shared(size_t bytes, size_t alignment) {
  uintptr_t arena = memory_->arena(0);
  uintptr_t address = (shared_next_ + kSharedRedZoneBytes + alignment - 1) / alignment * alignment;
  uintptr_t end = address + bytes;
  if (end + kSharedRedZoneBytes > arena + Memory::kArenaBytes)
    fail({.kind = FaultKind::kSharedMemoryExceeded,
          .bytes = bytes,
          .detail = "declares more shared memory than there is"});
  std::memset(reinterpret_cast<void*>(address), Memory::kPoison, bytes);
  memory_->mark(address, bytes, ByteState::kAllocated);
  shared_next_ = end;
  return address;
}

void* BlockRunner::shared(const void* site, size_t bytes, size_t alignment) {
  for (const SharedArray& array : shared_arrays_)
    if (array.site == site) return reinterpret_cast<void*>(array.address);
  static_shared_bytes_ += bytes;
  if (static_shared_bytes_ > kMaxStaticSharedBytes)
    fail({.kind = FaultKind::kSharedMemoryExceeded,
          .bytes = static_shared_bytes_,
          .detail = "declares more than 48 KiB of static shared memory"});
  uintptr_t address = place_shared(bytes, alignment);
  shared_arrays_.push_back({site, address, bytes});
  return reinterpret_cast<void*>(address);
}

unsigned long linear_index(Dim3 index, Dim3 size) {
  return index.x + size.x * (index.y + static_cast<unsigned long>(size.y) * index.z);
}

}  // namespace lathe::emulator
