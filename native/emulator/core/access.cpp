/* Holds each access of a checked kernel against bounds, alignment, initialization and the accesses of other threads. */
#include <algorithm>
#include <bit>
#include <cstddef>

#include "block.h"

namespace lathe::emulator {

void BlockRunner::access(uintptr_t address, size_t bytes, size_t alignment, Access kind, const void* code) {
  code_ = code;
  if (memory_->contains(address)) {
    access_window(address, bytes, kind);
    if (address % alignment != 0)
      fail(
          {.kind = FaultKind::kMisaligned, .access = kind, .address = address, .bytes = bytes, .alignment = alignment});
    return;
  }
  if (me().stack->contains(address)) return;
  for (const AddressRange& range : *grid_->module_ranges)
    if (address >= range.low && address + bytes <= range.high && (range.writable || kind == Access::kRead)) return;
  Allocation around = memory_->find(address);
  if (around.kind == MemoryKind::kRegistered && address + bytes <= around.start + around.bytes) return;
  for (unsigned i = 0; i < count_; i++)
    if (threads_[i].stack != nullptr && threads_[i].stack->contains(address))
      fail({.kind = FaultKind::kOutOfBounds,
            .access = kind,
            .address = address,
            .bytes = bytes,
            .detail = "the stack of another thread"});
  fail({.kind = FaultKind::kOutOfBounds,
        .access = kind,
        .address = address,
        .bytes = bytes,
        .detail = "not device memory"});
}

void BlockRunner::access_window(uintptr_t address, size_t bytes, Access kind) {
  bool shared = memory_->is_shared(address);
  if (!grid_->unordered->empty() && !shared) check_streams(address, bytes, kind);
  if ((shared || kind == Access::kRead || !run_->concurrent) && is_plain_access(address, bytes, shared, kind)) return;
  // Blocks on other cores look at the same shadow. Who writes holds a lock, so that of two writers one sees the other; a
  // reader doesn't, which is much faster, and in the same few nanoseconds a read and a write may miss each other. In the
  // orders that run on one core nothing is missed. A fault leaves this stack for good, so the lock goes first.
  bool locked = run_->concurrent && !shared && kind != Access::kRead;
  for (size_t done = 0; done < bytes;) {
    size_t part = std::min(bytes - done, ShadowLocks::kStripeBytes - (address + done) % ShadowLocks::kStripeBytes);
    Fault fault;
    if (locked) memory_->locks().lock(address + done);
    bool right = (locked && is_plain_access(address + done, part, shared, kind)) ||
                 examine(address + done, part, bytes, kind, &fault);
    if (locked) memory_->locks().unlock(address + done);
    if (!right) fail(fault);
    done += part;
  }
}

/**
 * Marks an access that plainly meets no other: what was there before is from before this launch, from this thread, or
 * from before the block's last barrier. Most are; what isn't plain is left to examine().
 *
 * @return whether it was one; if not, a part may be marked, which examine() does again
 */
template <bool kShared, bool kWrite>
bool BlockRunner::mark_plain(uintptr_t address, size_t bytes) {
  ByteState* states = memory_->state(address);
  auto* cells = reinterpret_cast<uint64_t*>(memory_->shadow(address));  // by turns the writer's and the reader's
  static_assert(offsetof(Shadow, reader) == sizeof(uint64_t) && offsetof(Cell, thread) == sizeof(uint32_t));
  const uint32_t first = run_->first_interval, now = interval_, mine_from = taken_.back();
  const uint64_t several = std::bit_cast<uint64_t>(run_->several_blocks());
  const uint64_t mine =
      std::bit_cast<uint64_t>(Cell{now, static_cast<uint16_t>(current_), warps_[current_ / kWarp].epoch});
  auto is_plain = [=](uint64_t cell) {
    uint32_t at = static_cast<uint32_t>(cell);
    if (cell == mine || at < first) return true;
    return at != now && (kShared || at - mine_from < GridRun::kIntervals);
  };
  for (size_t i = 0; i < bytes; i++) {
    // Another core may be at it too: a cell is read and written in one piece.
    uint64_t writer = __atomic_load_n(cells + 2 * i, __ATOMIC_RELAXED);
    uint64_t reader = __atomic_load_n(cells + 2 * i + 1, __ATOMIC_RELAXED);
    if (!is_plain(writer)) return false;
    if constexpr (kWrite) {
      if (states[i] == ByteState::kUnaddressable || !is_plain(reader)) return false;
      states[i] = ByteState::kInitialized;
      __atomic_store_n(cells + 2 * i, mine, __ATOMIC_RELAXED);
    } else {
      if (states[i] != ByteState::kInitialized) return false;
      if (reader == several || reader == mine) continue;
      uint64_t marked = mine;
      if (!is_plain(reader)) {  // then other threads read it too, which hurts nobody; see merged_reader()
        Cell before = std::bit_cast<Cell>(reader);
        bool same_warp = (before.thread & Cell::kThread) / kWarp == current_ / kWarp;
        if (before.interval != now || (same_warp && before.warp_epoch != warps_[current_ / kWarp].epoch)) return false;
        marked |= uint64_t{Cell::kSeveral} << 32;
        if (marked == reader) continue;
      }
      __atomic_store_n(cells + 2 * i + 1, marked, __ATOMIC_RELAXED);
    }
  }
  return true;
}

bool BlockRunner::is_plain_access(uintptr_t address, size_t bytes, bool shared, Access kind) {
  switch (kind) {
    case Access::kRead:
      return shared ? mark_plain<true, false>(address, bytes) : mark_plain<false, false>(address, bytes);
    case Access::kWrite:
      return shared ? mark_plain<true, true>(address, bytes) : mark_plain<false, true>(address, bytes);
    case Access::kAtomic:
      return false;
  }
  return false;
}

bool BlockRunner::examine(uintptr_t address, size_t bytes, size_t whole_bytes, Access kind, Fault* fault) {
  ByteState* states = memory_->state(address);
  Shadow* shadows = memory_->shadow(address);
  bool shared = memory_->is_shared(address);
  bool atomic = kind == Access::kAtomic;
  bool reads = kind != Access::kWrite, writes = kind != Access::kRead;
  for (size_t i = 0; i < bytes; i++)
    if (states[i] == ByteState::kUnaddressable) {
      *fault = out_of_bounds(address + i, whole_bytes, kind);
      return false;
    }
  Cell mine{interval_, static_cast<uint16_t>(current_ | (atomic ? Cell::kAtomic : 0)), warps_[current_ / kWarp].epoch};
  for (size_t i = 0; i < bytes; i++) {
    Shadow& shadow = shadows[i];
    // Races first: what another thread has not written yet in this order, it will have in another.
    if (conflicts(shadow.writer, shared, atomic)) {
      *fault = race(address + i, whole_bytes, kind, shadow.writer, Access::kWrite);
      return false;
    }
    if (writes && conflicts(shadow.reader, shared, atomic)) {
      *fault = race(address + i, whole_bytes, kind, shadow.reader, Access::kRead);
      return false;
    }
    if (reads && states[i] != ByteState::kInitialized && unwritten_is_told_ && unwritten_.kind == FaultKind::kNone)
      unwritten_ = {.kind = FaultKind::kUninitialized,
                    .access = kind,
                    .address = address + i,
                    .bytes = whole_bytes,
                    .block = block_,
                    .thread = me().index,
                    .code = code_};
    if (writes) {
      states[i] = ByteState::kInitialized;
      shadow.writer = mine;
    } else {
      shadow.reader = merged_reader(shadow.reader, mine, shared);
    }
  }
  return true;
}

/** What is kept of all that have read a byte. */
Cell BlockRunner::merged_reader(const Cell& before, Cell mine, bool shared) const {
  if (before.interval < run_->first_interval || before.interval == mine.interval) {
    // Of several readers that nothing orders, the last is kept, and that there were others.
    bool others = conflicts(before, shared, false);
    bool same_stretch = before.interval == interval_ && before.warp_epoch == mine.warp_epoch;
    bool still = same_stretch && (before.thread & Cell::kSeveral) != 0;
    if (others || still) mine.thread |= Cell::kSeveral;
    return mine;
  }
  // Of readers in several blocks, only that: who writes it then meets one of another block. It doesn't change any more,
  // and so the cores don't take the shadow of what all blocks read from each other.
  return shared || is_mine(before.interval) ? mine : run_->several_blocks();
}

/** Whether another stream touches the place too, with nothing that orders it before this kernel or after it. */
void BlockRunner::check_streams(uintptr_t address, size_t bytes, Access kind) {
  auto collide = [&](uintptr_t where, Access other, const std::string& name) {
    fail({.kind = FaultKind::kStreamRace,
          .access = kind,
          .address = where,
          .bytes = bytes,
          .other_access = other,
          .other_name = name.c_str()});
  };
  bool writes = kind != Access::kRead;
  for (const UnorderedRange& range : grid_->unordered->ranges)
    if (address < range.high && range.low < address + bytes && (writes || range.written))
      collide(std::max(address, range.low), range.written ? Access::kWrite : Access::kRead, range.name);
  for (const UnorderedKernel& kernel : grid_->unordered->kernels)
    for (size_t i = 0; i < bytes; i++) {
      const Shadow& shadow = *memory_->shadow(address + i);
      if (kernel.has(shadow.writer.interval)) collide(address + i, Access::kWrite, kernel.name);
      if (writes && kernel.has(shadow.reader.interval)) collide(address + i, Access::kRead, kernel.name);
    }
}

Fault BlockRunner::out_of_bounds(uintptr_t address, size_t bytes, Access kind) {
  Fault fault{.kind = FaultKind::kOutOfBounds, .access = kind, .address = address, .bytes = bytes};
  for (const SharedArray& array : shared_arrays_) {
    uintptr_t end = array.address + array.bytes;
    if (!memory_->is_shared(address) || array.bytes == 0 || address < end) continue;
    if (fault.array_bytes != 0 && address - end >= fault.past_array_bytes) continue;
    fault.array_bytes = array.bytes;
    fault.past_array_bytes = address - end;
    fault.in_dynamic_shared = array.site == nullptr;
  }
  return fault;
}

bool BlockRunner::is_mine(uint32_t interval) const {
  for (uint32_t first : taken_)
    if (interval - first < GridRun::kIntervals) return true;
  return false;
}

/** Whether nothing orders an earlier access before one that the current thread makes now. */
bool BlockRunner::conflicts(const Cell& cell, bool shared, bool atomic) const {
  if (cell.interval < run_->first_interval) return false;
  if (atomic && (cell.thread & Cell::kAtomic) != 0) return false;
  if (cell.interval == interval_) {
    unsigned other = cell.thread & Cell::kThread;
    bool several = (cell.thread & Cell::kSeveral) != 0;
    if (other == current_) return several && cell.warp_epoch == warps_[current_ / kWarp].epoch;
    return other / kWarp != current_ / kWarp || cell.warp_epoch == warps_[current_ / kWarp].epoch;
  }
  return !shared && !run_->fenced.load(std::memory_order_relaxed) && !is_mine(cell.interval);
}

Fault BlockRunner::race(uintptr_t address, size_t bytes, Access kind, const Cell& other, Access other_kind) {
  Fault fault{.kind = FaultKind::kRace, .access = kind, .address = address, .bytes = bytes, .other_access = other_kind};
  unsigned thread = other.thread & Cell::kThread;
  bool mine = is_mine(other.interval);
  if (thread != current_ || !mine) fault.other_thread = static_cast<int>(thread);
  if (!mine) fault.other_block = static_cast<long>(run_->block_of(other.interval));
  return fault;
}

void BlockRunner::check_stack(uintptr_t stack_pointer) {
  constexpr size_t kMarginBytes = 8 << 10;  // what a callback and its report may need
  if (stack_pointer < me().stack->low() + kMarginBytes)
    fail({.kind = FaultKind::kStackOverflow, .detail = "local variables and calls exceed its stack"});
}

}  // namespace lathe::emulator
