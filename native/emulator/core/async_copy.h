/* The copies to shared memory that a CUDA thread has started with cp.async and not waited for. */
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace lathe::emulator {

struct AsyncCopy {
  uintptr_t to, from;
  unsigned bytes;         // 4, 8 or 16
  unsigned source_bytes;  // that are read; the rest is zeros
  unsigned group;         // counts the thread's commits
  std::array<uint8_t, 16> value;
};

struct AsyncCopies {
  std::vector<AsyncCopy> pending;  // in the order of their groups
  unsigned group = 0;              // that the next copy belongs to
};

}  // namespace lathe::emulator
