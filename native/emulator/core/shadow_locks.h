/* Locks of the shadow memory, one for many stripes of addresses: held for the time of a few dozen instructions. */
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace lathe::emulator {

class ShadowLocks {
 public:
  static constexpr size_t kStripeBytes = 64;

  void lock(uintptr_t address) {
    std::atomic<bool>& held = of(address);
    while (held.exchange(true, std::memory_order_acquire))
      while (held.load(std::memory_order_relaxed)) __builtin_ia32_pause();
  }
  void unlock(uintptr_t address) { of(address).store(false, std::memory_order_release); }

 private:
  struct alignas(64) Lock {
    std::atomic<bool> held{false};
  };
  std::array<Lock, 4096> locks_;

  std::atomic<bool>& of(uintptr_t address) { return locks_[address / kStripeBytes % locks_.size()].held; }
};

}  // namespace lathe::emulator
