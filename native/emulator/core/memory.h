/* The emulated GPU's memory: one window of addresses, and beside it, for every byte, what a checked kernel has to know.
 *
 *   state   1 byte a byte     unaddressable, allocated, or initialized
 *   shadow  16 bytes a byte   who wrote it last, and who read it
 *
 * All three are reserved at once and cost nothing until they are touched, so finding the shadow of an address is one
 * multiplication. The window begins with the arenas that blocks have their shared memory in; allocations follow, with a
 * red zone between two of them.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "poison.h"
#include "shadow_locks.h"

namespace lathe::emulator {

enum class ByteState : uint8_t { kUnaddressable = 0, kAllocated = 1, kInitialized = 2 };

/** One access: the interval between barriers and the thread it fell into. A cell of zeros is no access. */
struct alignas(8) Cell {
  uint32_t interval;
  uint16_t thread;  // linear index in the block, and the flags below
  uint16_t warp_epoch;

  static constexpr uint16_t kAtomic = 0x8000;
  static constexpr uint16_t kSeveral = 0x4000;  // of readers: others read it too, and nothing ordered them
  static constexpr uint16_t kThread = 0x03ff;
};

struct Shadow {
  Cell writer, reader;
};

enum class MemoryKind : uint8_t {
  kNone,        // pageable, or nobody's
  kDevice,      // counts against the device's size
  kPinned,      // the host's, in the window: one address serves both sides
  kRegistered,  // the host's, elsewhere
  kModule,      // a variable of a loaded module
};

struct Allocation {
  uintptr_t start = 0;
  size_t bytes = 0;
  const void* owner = nullptr;
  MemoryKind kind = MemoryKind::kNone;
  uint64_t id = 0;  // never used twice
};

class Memory {
 public:
  static constexpr size_t kWindowBytes = size_t{1} << 40;
  static constexpr size_t kArenaBytes = 512 << 10;
  static constexpr unsigned kArenas = 8192;
  static constexpr size_t kRedZoneBytes = 4096;
  static constexpr uint8_t kPoison = 0xff;  // NaN in every float format, and an index that is out of bounds

  explicit Memory(size_t device_bytes);
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /** @return the address of poisoned memory, or 0 where there is no room */
  uintptr_t allocate(size_t bytes, const void* owner, MemoryKind kind);
  /** @return whether `address` was an allocation's start */
  bool release(uintptr_t address);
  void release_all(const void* owner);
  size_t used_bytes() const;
  size_t device_bytes() const { return device_bytes_; }

  /** Makes memory outside the window known. @return whether no part of it was before */
  bool register_range(uintptr_t address, size_t bytes, const void* owner, MemoryKind kind);
  bool unregister_host(uintptr_t address);

  bool contains(uintptr_t address) const { return address - base_ < kWindowBytes; }
  bool is_shared(uintptr_t address) const { return address - base_ < kArenas * kArenaBytes; }
  uintptr_t arena(unsigned index) const { return base_ + index * kArenaBytes; }

  /** Whether [address, address + bytes) lies in one live allocation or registration. */
  bool is_allocated(uintptr_t address, size_t bytes) const;
  /** The allocation or registration around an address; its kind is kNone where there is none. */
  Allocation find(uintptr_t address) const;

  ByteState* state(uintptr_t address) const { return states_ + (address - base_); }
  Shadow* shadow(uintptr_t address) const { return shadows_ + (address - base_); }
  /** Does nothing outside the window. */
  void mark(uintptr_t address, size_t bytes, ByteState state);
  ShadowLocks& locks() { return locks_; }
  /** Says where an address lies relative to the allocation next to it. */
  std::string describe(uintptr_t address) const;
  /** Forgets all accesses; for when interval numbers run out. */
  void forget_accesses();

 private:
  const size_t device_bytes_;
  uintptr_t base_;
  ByteState* states_;
  Shadow* shadows_;
  ShadowLocks locks_;
  PoisonPages poison_{kPoison}, allocated_{static_cast<uint8_t>(ByteState::kAllocated)};

  mutable std::mutex mutex_;  // of all below; kernels look only at states and shadows
  std::map<uintptr_t, Allocation> allocations_, registered_;
  uintptr_t next_;
  size_t used_bytes_ = 0;
  uint64_t ids_ = 0;

  uintptr_t first_address() const { return base_ + kArenas * kArenaBytes + kRedZoneBytes; }
  uintptr_t find_room(size_t span);
  void release_locked(std::map<uintptr_t, Allocation>::iterator allocation);
  static Allocation find_in(const std::map<uintptr_t, Allocation>& all, uintptr_t address);
};

}  // namespace lathe::emulator
