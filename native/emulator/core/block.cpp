#include "block.h"

#include <cstdlib>
#include <cstring>

namespace lathe::emulator {

namespace {

// In the thread's own block, found without a call: every threadIdx looks here. It takes 8 of the bytes that the linker
// keeps for libraries that are loaded late.
__attribute__((tls_model("initial-exec"))) thread_local BlockRunner* running = nullptr;

constexpr size_t kSharedRedZoneBytes = 256;
constexpr unsigned kPollsBeforeParking = 1024;

Dim3 unravel(unsigned long index, Dim3 size) {
  return {static_cast<unsigned>(index % size.x), static_cast<unsigned>(index / size.x % size.y),
          static_cast<unsigned>(index / size.x / size.y)};
}

uint64_t load(uintptr_t address, size_t bytes) {
  switch (bytes) {
    case 1:
      return __atomic_load_n(reinterpret_cast<const uint8_t*>(address), __ATOMIC_RELAXED);
    case 2:
      return __atomic_load_n(reinterpret_cast<const uint16_t*>(address), __ATOMIC_RELAXED);
    case 4:
      return __atomic_load_n(reinterpret_cast<const uint32_t*>(address), __ATOMIC_RELAXED);
    default:
      return __atomic_load_n(reinterpret_cast<const uint64_t*>(address), __ATOMIC_RELAXED);
  }
}

}  // namespace

BlockRunner* runner_or_null() { return running; }

BlockRunner& current_runner() {
  if (running == nullptr) abort();  // a device function was called outside a kernel
  return *running;
}

void BlockRunner::begin(GridRun& run, unsigned long block) {
  run_ = &run;
  grid_ = &run.grid;
  schedule_ = run.schedule.of_block(block);
  block_number_ = block;
  block_ = unravel(block, grid_->blocks);
  count_ = grid_->threads.x * grid_->threads.y * grid_->threads.z;
  threads_.resize(std::max<size_t>(threads_.size(), count_));
  free_stacks_.clear();
  for (auto& stack : stacks_) free_stacks_.push_back(stack.get());
  async_.assign(count_, {});
  exited_ = at_barrier_ = polls_ = 0;
  progress_ = parked_ = false;
  fault_ = unwritten_ = Fault();
  unwritten_is_told_ = !run.unchecked_writes;
  runnable_.clear();
  Dim3 index{0, 0, 0};
  for (unsigned i = 0; i < count_; i++) {
    CudaThread& thread = threads_[i];
    thread.index = index;
    thread.exited = false;
    thread.polled = 0;
    thread.stack = nullptr;
    runnable_.add(i);
    if (++index.x < grid_->threads.x) continue;
    index.x = 0;
    if (++index.y < grid_->threads.y) continue;
    index.y = 0;
    index.z++;
  }
  for (unsigned warp = 0; warp * kWarp < count_; warp++) {
    warps_[warp].waiting = warps_[warp].exited = 0;
    warps_[warp].epoch = 0;
    warps_[warp].operation.fill(WarpOperation::kNone);
  }
  // The last warp may have fewer lanes; those that it lacks count as returned.
  if (unsigned rest = count_ % kWarp; rest != 0) warps_[count_ / kWarp].exited = ~uint32_t{0} << rest;
  taken_.clear();
  next_interval();
  shared_arrays_.clear();
  static_shared_bytes_ = 0;
  shared_next_ = arena_;
  dynamic_shared_ = place_shared(grid_->dynamic_shared_bytes, 1024);
  shared_arrays_.push_back({nullptr, dynamic_shared_, grid_->dynamic_shared_bytes});
  current_ = static_cast<unsigned>(schedule_.first(runnable_, count_));
}

BlockRunner::State BlockRunner::go_on_with() {
  running = this;
  polls_ = 0;
  parked_ = false;
  lathe_emulator_switch(&home_, me().stack == nullptr ? start(me()) : me().stack_pointer);
  running = nullptr;
  // Back here: all have returned, or one failed, or none can go on, or those that can only poll.
  if (fault_.kind == FaultKind::kNone && parked_) return State::kParked;
  if (fault_.kind == FaultKind::kNone) fault_ = unwritten_;
  if (fault_.kind == FaultKind::kNone && exited_ < count_) deadlock();
  end_block();
  return fault_.kind == FaultKind::kNone ? State::kEnded : State::kFailed;
}

void BlockRunner::end_block() { memory_->mark(arena_, shared_next_ - arena_, ByteState::kUnaddressable); }

/** Gives a thread that takes its first step a stack; where that leads to. */
void* BlockRunner::start(CudaThread& thread) {
  if (free_stacks_.empty()) {
    stacks_.push_back(std::make_unique<Stack>(static_cast<unsigned>(stacks_.size())));
    free_stacks_.push_back(stacks_.back().get());
  }
  thread.stack = free_stacks_.back();
  free_stacks_.pop_back();
  return thread.stack->prepare(&BlockRunner::thread_main);
}

void BlockRunner::thread_main() {
  BlockRunner& runner = *running;
  do runner.grid_->kernel->invoke(runner.grid_->arguments);
  while (runner.thread_returned());
  abort();
}

/** @return when the next thread to go on is one that takes its first step: it does so on this stack */
bool BlockRunner::thread_returned() {
  CudaThread& thread = me();
  thread.exited = true;
  exited_++;
  progress_ = true;
  runnable_.remove(current_);
  if (at_barrier_ > 0 && at_barrier_ + exited_ == count_) release_barrier();
  Warp& warp = warps_[current_ / kWarp];
  warp.exited |= uint32_t{1} << current_ % kWarp;
  for (unsigned lane = 0; warp.waiting != 0 && lane < kWarp; lane++)
    if (warp.waiting >> lane & 1) complete(current_ / kWarp, lane);
  int next = schedule_.next_near(runnable_, current_, count_);
  if (next >= 0 && threads_[static_cast<unsigned>(next)].stack == nullptr) {
    current_ = static_cast<unsigned>(next);
    std::swap(me().stack, thread.stack);
    return true;
  }
  free_stacks_.push_back(std::exchange(thread.stack, nullptr));
  go_on(next);
  return false;
}

/** Leaves the thread that runs now where it is, and lets another one go on, or this one; -1: none can. */
void BlockRunner::go_on(int next) {
  CudaThread& from = me();
  if (next < 0) {
    lathe_emulator_switch(&from.stack_pointer, home_);
    return;
  }
  if (static_cast<unsigned>(next) == current_) return;
  current_ = static_cast<unsigned>(next);
  CudaThread& to = me();
  lathe_emulator_switch(&from.stack_pointer, to.stack == nullptr ? start(to) : to.stack_pointer);
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
    bool in_warp = warps_[i / kWarp].operation[i % kWarp] != WarpOperation::kNone;
    fault_.kind = FaultKind::kDeadlock;
    fault_.block = block_;
    fault_.thread = threads_[i].index;
    fault_.detail =
        in_warp ? "waits for lanes of its warp that never come" : "waits at __syncthreads for threads that never come";
    if (in_warp) return;  // the likelier cause: whoever waits in a warp keeps the others from the barrier
  }
}

Fault BlockRunner::waits_for_ever() {
  return {.kind = FaultKind::kDeadlock,
          .block = block_,
          .thread = me().index,
          .detail = "polls with atomics what nobody changes: no thread of any block gets any further"};
}

void BlockRunner::sync_threads() {
  runnable_.remove(current_);
  at_barrier_++;
  if (at_barrier_ + exited_ == count_) release_barrier();
  go_on(schedule_.next_near(runnable_, current_, count_));
}

void BlockRunner::release_barrier() {
  if (unwritten_.kind != FaultKind::kNone) {
    fault_ = unwritten_;
    stop();
  }
  at_barrier_ = 0;
  progress_ = true;
  next_interval();
  for (unsigned i = 0; i < count_; i++)
    if (!threads_[i].exited) runnable_.add(i);
}

void BlockRunner::poll(uintptr_t address, size_t bytes) {
  CudaThread& thread = me();
  uint64_t value = load(address, bytes);
  bool again = thread.polled == address && thread.polled_value == value;
  thread.polled = address;
  thread.polled_value = value;
  if (!again) {
    progress_ = true;
    if (schedule_.random()) go_on(schedule_.next(runnable_, current_, count_));  // atomics meet in any order
    return;
  }
  // What is at the address is what was there the last time: this thread waits for another one.
  if (++polls_ >= kPollsBeforeParking) {
    parked_ = true;
    lathe_emulator_switch(&thread.stack_pointer, home_);
    return;
  }
  go_on(schedule_.next(runnable_, current_, count_));
}

void BlockRunner::fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!run_->fenced.load(std::memory_order_relaxed)) run_->fenced = true;
}

uintptr_t BlockRunner::place_shared(size_t bytes, size_t alignment) {
  uintptr_t address = (shared_next_ + kSharedRedZoneBytes + alignment - 1) / alignment * alignment;
  uintptr_t end = address + bytes;
  if (end + kSharedRedZoneBytes > arena_ + Memory::kArenaBytes)
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
  // What a kernel may have counts both. Where more than 48 KiB were asked for, what was asked for has to be there.
  bool asked = grid_->most_dynamic_shared_bytes > kMaxStaticSharedBytes;
  size_t all = static_shared_bytes_ + (asked ? grid_->most_dynamic_shared_bytes : grid_->dynamic_shared_bytes);
  if (all > (asked ? kMaxSharedBytes : kMaxStaticSharedBytes))
    fail({.kind = FaultKind::kSharedMemoryExceeded,
          .bytes = all,
          .detail = asked ? "may have 227 KiB, of which its static shared memory leaves less than was asked for"
                          : "has more than 48 KiB of static and dynamic shared memory together"});
  uintptr_t address = place_shared(bytes, alignment);
  shared_arrays_.push_back({site, address, bytes});
  return reinterpret_cast<void*>(address);
}

void BlockRunner::next_interval() {
  interval_++;
  if (taken_.empty() || interval_ == taken_.back() + GridRun::kIntervals) {
    interval_ = run_->take_intervals(block_number_);
    taken_.push_back(interval_);
  }
}

unsigned long linear_index(Dim3 index, Dim3 size) {
  return index.x + size.x * (index.y + static_cast<unsigned long>(size.y) * index.z);
}

}  // namespace lathe::emulator
