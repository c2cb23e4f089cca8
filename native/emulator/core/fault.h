/* What a kernel did wrong, kept as plain data: it is filled in on the stack of the CUDA thread that did it. */
#pragma once
#include <cstddef>
#include <cstdint>

#include "lathe_emulator.h"

namespace lathe::emulator {

enum class FaultKind {
  kNone,
  kOutOfBounds,
  kMisaligned,
  kUninitialized,
  kRace,
  kStreamRace,
  kAsyncCopy,
  kDeadlock,
  kDivergence,
  kStackOverflow,
  kSharedMemoryExceeded,
};

struct Fault {
  FaultKind kind = FaultKind::kNone;
  Access access = Access::kRead;
  uintptr_t address = 0;  // of the first byte that is wrong
  size_t bytes = 0;
  size_t alignment = 0;
  Dim3 block{}, thread{};
  // Where shared memory was left: the array before the address.
  size_t array_bytes = 0;
  size_t past_array_bytes = 0;
  bool in_dynamic_shared = false;
  // The other side of a race.
  Access other_access = Access::kRead;
  int other_thread = -1;       // linear index in its block; -1: one of several
  long other_block = -1;       // linear index in the grid; -1: the same block
  const void* code = nullptr;  // where the access returns to
  const char* other_name = "";  // of what another stream did
  const char* detail = "";      // a string literal
};

}  // namespace lathe::emulator
