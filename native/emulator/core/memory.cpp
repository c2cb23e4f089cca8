#include "memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <utility>

namespace lathe::emulator {

namespace {

constexpr size_t kPage = 4096;

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

Memory::Memory(size_t device_bytes)
    : device_bytes_(device_bytes),
      base_(reinterpret_cast<uintptr_t>(reserve_pages(kWindowBytes))),
      states_(static_cast<ByteState*>(reserve_pages(kWindowBytes))),
      shadows_(static_cast<Shadow*>(reserve_pages(kWindowBytes * sizeof(Shadow)))),
      next_(first_address()) {}

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
    next_ = first_address();
  }
  return 0;
}

uintptr_t Memory::allocate(size_t bytes, const void* owner, MemoryKind kind) {
  std::scoped_lock lock(mutex_);
  if (kind == MemoryKind::kDevice && bytes > device_bytes_ - used_bytes_) return 0;
  if (bytes > kWindowBytes / 2) return 0;
  uintptr_t address = find_room(pages(bytes) + kRedZoneBytes);
  if (address == 0) return 0;
  poison_.fill(address, pages(bytes));
  allocated_.fill(reinterpret_cast<uintptr_t>(state(address)), pages(bytes));
  mark(address + bytes, pages(bytes) - bytes, ByteState::kUnaddressable);
  allocations_[address] = {address, bytes, owner, kind, ++ids_};
  if (kind == MemoryKind::kDevice) used_bytes_ += bytes;
  return address;
}

bool Memory::release(uintptr_t address) {
  std::scoped_lock lock(mutex_);
  auto found = allocations_.find(address);
  if (found == allocations_.end()) return false;
  release_locked(found);
  return true;
}

void Memory::release_locked(std::map<uintptr_t, Allocation>::iterator allocation) {
  auto [address, bytes, owner, kind, id] = allocation->second;
  if (kind == MemoryKind::kDevice) used_bytes_ -= bytes;
  allocations_.erase(allocation);
  PoisonPages::clear(address, pages(bytes));
  PoisonPages::clear(reinterpret_cast<uintptr_t>(state(address)), pages(bytes));  // zero is kUnaddressable
  madvise(shadow(address), pages(bytes) * sizeof(Shadow), MADV_DONTNEED);
}

void Memory::release_all(const void* owner) {
  std::scoped_lock lock(mutex_);
  for (auto next = allocations_.begin(); next != allocations_.end();) {
    auto here = next++;
    if (here->second.owner == owner) release_locked(here);
  }
  std::erase_if(registered_, [&](auto& entry) { return entry.second.owner == owner; });
}

size_t Memory::used_bytes() const {
  std::scoped_lock lock(mutex_);
  return used_bytes_;
}

bool Memory::register_range(uintptr_t address, size_t bytes, const void* owner, MemoryKind kind) {
  std::scoped_lock lock(mutex_);
  auto after = registered_.upper_bound(address);
  if (after != registered_.end() && after->first < address + bytes) return false;
  if (find_in(registered_, address).kind != MemoryKind::kNone) return false;
  registered_[address] = {address, bytes, owner, kind, ++ids_};
  return true;
}

bool Memory::unregister_host(uintptr_t address) {
  std::scoped_lock lock(mutex_);
  auto found = registered_.find(address);
  if (found == registered_.end() || found->second.kind != MemoryKind::kRegistered) return false;
  registered_.erase(found);
  return true;
}

Allocation Memory::find_in(const std::map<uintptr_t, Allocation>& all, uintptr_t address) {
  auto after = all.upper_bound(address);
  if (after == all.begin()) return {};
  const Allocation& allocation = std::prev(after)->second;
  return address - allocation.start < allocation.bytes ? allocation : Allocation();
}

Allocation Memory::find(uintptr_t address) const {
  std::scoped_lock lock(mutex_);
  return find_in(contains(address) ? allocations_ : registered_, address);
}

bool Memory::is_allocated(uintptr_t address, size_t bytes) const {
  Allocation around = find(address);
  return around.kind != MemoryKind::kNone && bytes <= around.bytes - (address - around.start);
}

void Memory::mark(uintptr_t address, size_t bytes, ByteState to) {
  if (contains(address)) std::memset(static_cast<void*>(state(address)), static_cast<int>(to), bytes);
}

std::string Memory::describe(uintptr_t address) const {
  if (!contains(address)) return "not device memory";
  if (is_shared(address)) return "shared memory of a block, outside every array of this one";
  auto text = [](const char* relation, size_t distance, uintptr_t start, size_t bytes) {
    char line[160];
    snprintf(line, sizeof line, "%zu bytes %s the allocation of %zu bytes at 0x%zx", distance, relation, bytes, start);
    return std::string(line);
  };
  std::scoped_lock lock(mutex_);
  auto after = allocations_.upper_bound(address);
  if (after != allocations_.begin()) {
    const Allocation& before = std::prev(after)->second;
    size_t offset = address - before.start;
    if (offset < before.bytes) return text("into", offset, before.start, before.bytes);
    if (after == allocations_.end() || offset - before.bytes <= after->first - address)
      return text("past the end of", offset - before.bytes, before.start, before.bytes);
  }
  if (after == allocations_.end()) return "no allocation is live";
  return text("before", after->first - address, after->first, after->second.bytes);
}

void Memory::forget_accesses() { madvise(shadows_, kWindowBytes * sizeof(Shadow), MADV_DONTNEED); }

}  // namespace lathe::emulator
