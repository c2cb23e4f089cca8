/* Stacks that a thread switches between: one CUDA thread runs on each. */
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace lathe::emulator {

/**
 * A stack with a page below it that can't be touched, so that an overflow stops at once. Where there are very many, the
 * later ones have none: each takes two of the mappings that a process may have, which are some 65,000.
 */
class Stack {
 public:
  static constexpr size_t kBytes = 64 << 10;

  /**
   * Stacks begin at different offsets by their number: else the same frames of all would fall into the same few lines of
   * the cache.
   */
  explicit Stack(unsigned number);
  ~Stack();
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  uintptr_t low() const { return low_; }
  uintptr_t high() const { return low_ + kBytes; }
  bool contains(uintptr_t address) const { return address - low_ < kBytes; }

  /** The stack pointer that, switched to, calls `entry`, which must never return. */
  void* prepare(void (*entry)()) const;

 private:
  uintptr_t low_;
  size_t offset_;
};

/** Saves the callee-saved registers and the stack pointer, and goes on where `to` was saved. */
extern "C" void lathe_emulator_switch(void** save, void* to);

}  // namespace lathe::emulator
