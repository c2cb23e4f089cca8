/* cp.async: hardware may read the source and write the destination at any time between the instruction and the wait, and
 * each copy at another one. Whatever it does has to come to the same, in every order of threads:
 *
 *   - from the instruction on the destination counts as unwritten, whatever was there before, and what is there is poison:
 *     who reads it before the wait, trusting in old bytes or in new ones, is found
 *   - the instruction counts as a write, so that other threads' reads of the old bytes need a barrier before it; and so
 *     does the wait, so that their reads of the new ones need one after it
 *   - at the wait nobody may have written the destination meanwhile, or changed the source
 */
#include <cstring>

#include "block.h"

namespace lathe::emulator {

void BlockRunner::async_copy(uintptr_t to, uintptr_t from, unsigned bytes, unsigned source_bytes, const void* code) {
  AsyncCopy copy{to, from, bytes, source_bytes, async_[current_].group, {}};
  bool checked = grid_->kernel->checked;
  if (checked) {
    code_ = code;
    if (!memory_->is_shared(to))
      fail({.kind = FaultKind::kOutOfBounds,
            .access = Access::kWrite,
            .address = to,
            .bytes = bytes,
            .detail = "not shared memory, the only place that cp.async can write"});
    // The address has to be a multiple of the whole copy's size even where less is read.
    if (source_bytes > 0 && from % bytes != 0)
      fail({.kind = FaultKind::kMisaligned,
            .access = Access::kRead,
            .address = from,
            .bytes = source_bytes,
            .alignment = bytes});
    if (source_bytes > 0) access(from, source_bytes, 1, Access::kRead, code);
    access(to, bytes, bytes, Access::kWrite, code);
  }
  std::memcpy(copy.value.data(), reinterpret_cast<const void*>(from), source_bytes);
  std::memset(reinterpret_cast<void*>(to), Memory::kPoison, bytes);
  if (checked) memory_->mark(to, bytes, ByteState::kAllocated);
  async_[current_].pending.push_back(copy);
}

void BlockRunner::async_commit() { async_[current_].group++; }

void BlockRunner::async_wait(unsigned groups, const void* code) {
  AsyncCopies& mine = async_[current_];
  size_t done = 0;
  // A group is complete once `groups` or fewer were committed after it; what isn't committed yet is never waited for.
  for (; done < mine.pending.size() && mine.pending[done].group + groups < mine.group; done++)
    finish(mine.pending[done], code);
  mine.pending.erase(mine.pending.begin(), mine.pending.begin() + static_cast<ptrdiff_t>(done));
}

void BlockRunner::async_wait_all(const void* code) {
  async_commit();
  async_wait(0, code);
}

void BlockRunner::finish(const AsyncCopy& copy, const void* code) {
  if (grid_->kernel->checked) {
    code_ = code;
    const ByteState* states = memory_->state(copy.to);
    for (unsigned i = 0; i < copy.bytes; i++)
      if (states[i] != ByteState::kAllocated)
        fail({.kind = FaultKind::kAsyncCopy,
              .address = copy.to + i,
              .bytes = copy.bytes,
              .detail = "its destination was written before it was waited for"});
    if (std::memcmp(copy.value.data(), reinterpret_cast<const void*>(copy.from), copy.source_bytes) != 0)
      fail({.kind = FaultKind::kAsyncCopy,
            .address = copy.from,
            .bytes = copy.bytes,
            .detail = "its source was changed before it was waited for"});
    access(copy.to, copy.bytes, copy.bytes, Access::kWrite, code);
  }
  std::memcpy(reinterpret_cast<void*>(copy.to), copy.value.data(), copy.bytes);
}

}  // namespace lathe::emulator
