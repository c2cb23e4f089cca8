/* The limits of the device: those of compute capability 9.0 with the multiprocessors of an H200. */
#pragma once
#include <algorithm>
#include <cstddef>

namespace lathe::emulator {

inline constexpr int kComputeCapability = 90;
inline constexpr int kMultiprocessors = 132;
inline constexpr int kMaxThreads = 1024;
inline constexpr int kThreadsPerMultiprocessor = 2048;
inline constexpr int kBlocksPerMultiprocessor = 32;
inline constexpr int kSharedBytes = 48 << 10;             // a block's, where its kernel doesn't ask for more
inline constexpr int kMaxSharedBytes = 227 << 10;         // a block's, where it does
inline constexpr int kReservedSharedBytes = 1 << 10;      // of each block, the system's
inline constexpr int kSharedBytesPerMultiprocessor = 228 << 10;

/**
 * How many blocks a multiprocessor holds at once by threads and shared memory. Registers aren't counted, since g++ knows
 * none: a real GPU may hold fewer.
 */
inline int resident_blocks(size_t threads, size_t shared_bytes) {
  constexpr size_t kGranule = 128;  // shared memory is handed out in these
  if (threads == 0 || threads > kMaxThreads || shared_bytes > kMaxSharedBytes) return 0;
  size_t warps = (threads + 31) / 32;
  size_t by_threads = kThreadsPerMultiprocessor / 32 / warps;
  size_t each = (shared_bytes + kReservedSharedBytes + kGranule - 1) / kGranule * kGranule;
  size_t by_shared = kSharedBytesPerMultiprocessor / each;
  return static_cast<int>(std::min({by_threads, by_shared, size_t{kBlocksPerMultiprocessor}}));
}

}  // namespace lathe::emulator
