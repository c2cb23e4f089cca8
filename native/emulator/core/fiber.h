/* Stacks that a thread switches between: one CUDA thread runs on each. */
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lathe::emulator {

/** A stack with a page below it that can't be touched, so that an overflow stops at once. */
class Stack {
 public:
  static constexpr size_t kBytes = 64 << 10;

  Stack();
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  uintptr_t low() const { return low_; }
  uintptr_t high() const { return low_ + kBytes; }
  bool contains(uintptr_t address) const { return address - low_ < kBytes; }

  /**
   * The stack pointer that, switched to, calls `entry`, which must never return. Stacks begin at different offsets by
   * their number: else the same frames of all would fall into the same few lines of the cache.
   */
  void* prepare(void (*entry)(), unsigned number) const;

 private:
  uintptr_t low_;
};

/** Saves the callee-saved registers and the stack pointer, and goes on where `to` was saved. */
extern "C" void lathe_emulator_switch(void** save, void* to);

}  // namespace lathe::emulator
