/* A fault in words: kernel, block, thread, what it did, and what lies there. */
#include <cstdarg>

#include "driver.h"

namespace lathe::emulator {

namespace {

std::string text(const char* format, ...) __attribute__((format(printf, 1, 2)));

std::string text(const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  return line;
}

const char* verb(Access access) {
  switch (access) {
    case Access::kRead:
      return "read";
    case Access::kWrite:
      return "write";
    case Access::kAtomic:
      return "atomic";
  }
  return "access";
}

std::string what(const Fault& fault, const Grid& grid, const Memory& memory) {
  std::string access = text("%s of %zu bytes", verb(fault.access), fault.bytes);
  const char* space = memory.is_shared(fault.address) ? "shared" : "global";
  switch (fault.kind) {
    case FaultKind::kNone:
      return "no fault";
    case FaultKind::kOutOfBounds:
      if (fault.array_bytes != 0)
        return text("out-of-bounds %s: 0x%zx is %zu bytes past the end of %s shared memory of %zu bytes",
                    access.c_str(), fault.address, fault.past_array_bytes,
                    fault.in_dynamic_shared ? "the dynamic" : "an array in", fault.array_bytes);
      return text("out-of-bounds %s: 0x%zx is %s", access.c_str(), fault.address,
                  fault.detail[0] != '\0' ? fault.detail : memory.describe(fault.address).c_str());
    case FaultKind::kMisaligned:
      return text("misaligned %s: 0x%zx is not a multiple of %zu", access.c_str(), fault.address, fault.alignment);
    case FaultKind::kUninitialized:
      return text("uninitialized %s: nobody has written the byte at 0x%zx of %s memory", access.c_str(), fault.address,
                  space);
    case FaultKind::kRace: {
      std::string other = "another thread";
      if (fault.other_thread >= 0) {
        unsigned linear = static_cast<unsigned>(fault.other_thread);
        other = text("thread (%u,%u,%u)", linear % grid.threads.x, linear / grid.threads.x % grid.threads.y,
                     linear / grid.threads.x / grid.threads.y);
      }
      if (fault.other_block >= 0) other += text(" of block %ld", fault.other_block);
      return text("race in %s memory: %s at 0x%zx, and a %s by %s with no barrier between", space, access.c_str(),
                  fault.address, verb(fault.other_access), other.c_str());
    }
    case FaultKind::kStreamRace:
      return text("race between streams: %s at 0x%zx, and a %s by %s, which neither an event nor the host orders",
                  access.c_str(), fault.address, verb(fault.other_access), fault.other_name);
    case FaultKind::kAsyncCopy:
      return text("race with a cp.async of %zu bytes: %s, at 0x%zx of %s memory", fault.bytes, fault.detail,
                  fault.address, space);
    case FaultKind::kDeadlock:
      return text("deadlock: %s", fault.detail);
    case FaultKind::kDivergence:
      return text("divergent warp: the thread %s", fault.detail);
    case FaultKind::kStackOverflow:
      return text("stack overflow: %s", fault.detail);
    case FaultKind::kSharedMemoryExceeded:
      return text("shared memory exceeded: the block %s (%zu bytes)", fault.detail, fault.bytes);
  }
  return "unknown fault";
}

/** The place in the module's file, for addr2line; the call itself lies before where it returns to. */
std::string where(const Fault& fault, const Grid& grid) {
  if (fault.code == nullptr || grid.module_ranges->empty()) return "";
  uintptr_t base = grid.module_ranges->front().low;
  return text(" (addr2line -ife MODULE.so 0x%zx)", reinterpret_cast<uintptr_t>(fault.code) - 1 - base);
}

}  // namespace

std::string describe(const Fault& fault, const Grid& grid, const Memory& memory, const std::string& schedule) {
  return text("kernel %s, block (%u,%u,%u), thread (%u,%u,%u): ", grid.kernel->name, fault.block.x, fault.block.y,
              fault.block.z, fault.thread.x, fault.thread.y, fault.thread.z) +
         what(fault, grid, memory) + where(fault, grid) + " [order " + schedule + "]";
}

CUresult result_of(const Fault& fault) {
  switch (fault.kind) {
    case FaultKind::kNone:
      return CUDA_SUCCESS;
    case FaultKind::kOutOfBounds:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case FaultKind::kMisaligned:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case FaultKind::kDeadlock:
      return CUDA_ERROR_LAUNCH_TIMEOUT;
    case FaultKind::kStackOverflow:
      return CUDA_ERROR_HARDWARE_STACK_ERROR;
    case FaultKind::kUninitialized:
    case FaultKind::kRace:
    case FaultKind::kStreamRace:
    case FaultKind::kAsyncCopy:
    case FaultKind::kDivergence:
    case FaultKind::kSharedMemoryExceeded:
      return CUDA_ERROR_LAUNCH_FAILED;
  }
  return CUDA_ERROR_LAUNCH_FAILED;
}

}  // namespace lathe::emulator
