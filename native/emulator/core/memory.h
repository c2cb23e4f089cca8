/* The emulated GPU's memory: one window of addresses, and beside it, for every byte, what a checked kernel has to know.
 *
 *   state   1 byte a byte     unaddressable, allocated, or initialized
 *   shadow  16 bytes a byte   who wrote it last, and who read it
 *
 * All three are reserved at once and cost nothing until they are touched, so finding the shadow of an address is one
 * multiplication. Between two allocations lies a red zone.
 */
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

namespace lathe::emulator {

enum class ByteState : uint8_t { kUnaddressable = 0, kAllocated = 1, kInitialized = 2 };

/** One access: the interval between barriers and the thread it fell into. A cell of zeros is no access. */
struct Cell {
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

class Memory {
 public:
  static constexpr size_t kWindowBytes = size_t{1} << 40;
  static constexpr size_t kDeviceBytes = size_t{16} << 30;
  static constexpr size_t kSharedBytes = 1 << 20;  // at the window's start: the shared memory of the block that runs
  static constexpr size_t kRedZoneBytes = 4096;
  static constexpr uint8_t kPoison = 0xff;  // NaN in every float format, and an index that is out of bounds

  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  /** @return the address of poisoned memory, or 0 where there is no room */
  uintptr_t allocate(size_t bytes, const void* owner);
  /** @return whether `address` was an allocation's start */
  bool release(uintptr_t address);
  void release_all(const void* owner);
  size_t used_bytes() const { return used_bytes_; }

  bool contains(uintptr_t address) const { return address - base_ < kWindowBytes; }
  bool is_shared(uintptr_t address) const { return address - base_ < kSharedBytes; }
  uint8_t* shared_arena() const { return reinterpret_cast<uint8_t*>(base_); }

  /** Whether [address, address + bytes) lies in one live allocation. */
  bool is_allocated(uintptr_t address, size_t bytes) const;
  /** The allocation around an address: its start and size; false where there is none. */
  bool range_of(uintptr_t address, uintptr_t* start, size_t* bytes) const;

  ByteState* state(uintptr_t address) const { return states_ + (address - base_); }
  Shadow* shadow(uintptr_t address) const { return shadows_ + (address - base_); }
  void mark(uintptr_t address, size_t bytes, ByteState state);
  /** Says where an address lies relative to the allocation next to it. */
  std::string describe(uintptr_t address) const;
  /** Forgets all accesses; for when interval numbers run out. */
  void forget_accesses();

 private:
  uintptr_t base_;
  ByteState* states_;
  Shadow* shadows_;
  struct Allocation {
    size_t bytes;
    const void* owner;
  };
  std::map<uintptr_t, Allocation> allocations_;
  uintptr_t next_;
  size_t used_bytes_ = 0;

  uintptr_t find_room(size_t span);
};

}  // namespace lathe::emulator
