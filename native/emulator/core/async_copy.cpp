/* cp.async: the copy is made when the thread waits for it, the latest moment that the hardware may take. Until then the
 * destination counts as unwritten, whatever was there before, so that a missing wait is found in every order of threads.
 * The source is checked and read when the copy is started, which is when the hardware may read it first.
 */
#include <cstring>

#include "block.h"

namespace lathe::emulator {

void BlockRunner::async_copy(uintptr_t to, uintptr_t from, unsigned bytes, unsigned source_bytes, const void* code) {
  AsyncCopy copy{to, bytes, async_[current_].group, {}};
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
  // The bytes arrive now, so whoever else looks at them needs a barrier from here.
  if (grid_->kernel->checked) access(copy.to, copy.bytes, copy.bytes, Access::kWrite, code);
  std::memcpy(reinterpret_cast<void*>(copy.to), copy.value.data(), copy.bytes);
}

}  // namespace lathe::emulator
