#include "memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <new>
#include <utility>

namespace lathe::emulator {

namespace {

constexpr size_t kPage = 4096;

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

void* reserve(size_t bytes) {
  void* mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  madvise(mapped, bytes, MADV_DONTDUMP);  // advice only: a core file with 18 TiB of holes helps nobody
  return mapped;
}

}  // namespace

Memory::Memory()
    : base_(reinterpret_cast<uintptr_t>(reserve(kWindowBytes))),
      states_(static_cast<ByteState*>(reserve(kWindowBytes))),
      shadows_(static_cast<Shadow*>(reserve(kWindowBytes * sizeof(Shadow)))),
      next_(base_ + kSharedBytes + kRedZoneBytes) {}

Memory::~Memory() {
  munmap(shadows_, kWindowBytes * sizeof(Shadow));
  munmap(states_, kWindowBytes);
  munmap(reinterpret_cast<void*>(base_), kWindowBytes);
}

// Addresses are reused as late as possible, so that a pointer to freed memory leads nowhere.
uintptr_t Memory::find_room(size_t span) {
  for (int wraps = 0; wraps < 2; wraps++) {
    for (auto after = allocations_.lower_bound(next_);; ++after) {
      bool last = after == allocations_.end();
      if (next_ + span <= (last ? base_ + kWindowBytes : after->first)) return std::exchange(next_, next_ + span);
      if (last) break;
      next_ = after->first + pages(after->second.bytes) + kRedZoneBytes;
    }
    next_ = base_ + kSharedBytes + kRedZoneBytes;
  }
  return 0;
}

uintptr_t Memory::allocate(size_t bytes, const void* owner) {
  if (bytes > kDeviceBytes - used_bytes_) return 0;
  uintptr_t address = find_room(pages(bytes) + kRedZoneBytes);
  if (address == 0) return 0;
  allocations_[address] = {bytes, owner};
  used_bytes_ += bytes;
  std::memset(reinterpret_cast<void*>(address), kPoison, bytes);
  mark(address, bytes, ByteState::kAllocated);
  return address;
}

bool Memory::release(uintptr_t address) {
  auto found = allocations_.find(address);
  if (found == allocations_.end()) return false;
  size_t bytes = pages(found->second.bytes);
  used_bytes_ -= found->second.bytes;
  allocations_.erase(found);
  // A private anonymous page that is given back reads as zeros, which in `states_` is kUnaddressable.
  mark(address, bytes, ByteState::kUnaddressable);
  madvise(reinterpret_cast<void*>(address), bytes, MADV_DONTNEED);
  madvise(state(address), bytes, MADV_DONTNEED);
  madvise(shadow(address), bytes * sizeof(Shadow), MADV_DONTNEED);
  return true;
}

void Memory::release_all(const void* owner) {
  for (auto next = allocations_.begin(); next != allocations_.end();) {
    auto [address, allocation] = *next++;
    if (allocation.owner == owner) release(address);
  }
}

bool Memory::range_of(uintptr_t address, uintptr_t* start, size_t* bytes) const {
  auto after = allocations_.upper_bound(address);
  if (after == allocations_.begin()) return false;
  auto [first, allocation] = *--after;
  if (address - first >= allocation.bytes) return false;
  *start = first;
  *bytes = allocation.bytes;
  return true;
}

bool Memory::is_allocated(uintptr_t address, size_t bytes) const {
  uintptr_t start;
  size_t size;
  return range_of(address, &start, &size) && bytes <= size - (address - start);
}

void Memory::mark(uintptr_t address, size_t bytes, ByteState to) {
  std::memset(state(address), static_cast<int>(to), bytes);
}

std::string Memory::describe(uintptr_t address) const {
  if (!contains(address)) return "not device memory";
  if (is_shared(address)) return "shared memory of the block, outside every array";
  auto after = allocations_.upper_bound(address);
  auto text = [](const char* relation, size_t distance, uintptr_t start, size_t bytes) {
    char line[160];
    snprintf(line, sizeof line, "%zu bytes %s the allocation of %zu bytes at 0x%zx", distance, relation, bytes, start);
    return std::string(line);
  };
  if (after != allocations_.begin()) {
    auto [start, allocation] = *std::prev(after);
    size_t offset = address - start;
    if (offset < allocation.bytes) return text("into", offset, start, allocation.bytes);
    if (after == allocations_.end() || offset - allocation.bytes <= after->first - address)
      return text("past the end of", offset - allocation.bytes, start, allocation.bytes);
  }
  if (after == allocations_.end()) return "no allocation is live";
  return text("before", after->first - address, after->first, after->second.bytes);
}

void Memory::forget_accesses() { madvise(shadows_, kWindowBytes * sizeof(Shadow), MADV_DONTNEED); }

}  // namespace lathe::emulator
