/* What a kernel that g++ compiled asks of the emulated GPU. Everything here is out of line in libcuda.so.1, so that the
 * checked build's instrumentation sees the kernel's own accesses and nothing of the emulator's.
 */
#pragma once
#include <cstddef>
#include <cstdint>

#define LATHE_EMULATOR_API __attribute__((visibility("default")))

namespace lathe::emulator {

struct Dim3 {
  unsigned x = 1, y = 1, z = 1;
};

enum class Access : unsigned char { kRead, kWrite, kAtomic };

/** What cuLaunchKernel has to know, since it passes no sizes. */
struct Kernel {
  const char* name;
  void (*invoke)(const void* const* arguments);
  const size_t* argument_bytes;
  size_t arguments;
  unsigned max_threads;  // as in __launch_bounds__
  bool checked;          // compiled with the access callbacks
};

// A CUDA thread never changes what these return, so the compiler may call them once ("const").
LATHE_EMULATOR_API [[gnu::const]] Dim3 thread_index();
LATHE_EMULATOR_API [[gnu::const]] Dim3 block_index();
LATHE_EMULATOR_API [[gnu::const]] Dim3 block_size();
LATHE_EMULATOR_API [[gnu::const]] Dim3 grid_size();

LATHE_EMULATOR_API void sync_threads();
LATHE_EMULATOR_API void sync_warp(uint32_t mask);
/** Warp shuffle: the value that lane `source` passed. The lanes of `mask` meet here; it orders no memory. */
LATHE_EMULATOR_API uint64_t shuffle(uint32_t mask, uint64_t value, unsigned source);
LATHE_EMULATOR_API uint32_t ballot(uint32_t mask, bool predicate);
/** What the last lane that comes to a warp operation does for all of them: `lanes[i]` is what lane i passed, or null. */
using WarpFunction = void(void* const* lanes, const void* context);
/**
 * The lanes of `mask` meet here; `function` then runs once, and may read and write what each lane's `mine` points to.
 * All lanes must pass the same function, and a context that says the same. It orders no memory.
 */
LATHE_EMULATOR_API void collective(uint32_t mask, void* mine, WarpFunction* function, const void* context);
/** The same with no function: `all[i]`, `bytes` long, is what lane i passed as `in`; zeros where it doesn't take part. */
LATHE_EMULATOR_API void exchange(uint32_t mask, const void* in, void* all, size_t bytes);
/** An mma.sync or ldmatrix of the whole warp: lathe_matrix.h. */
struct MmaKind;
struct MmaOperands;
LATHE_EMULATOR_API void mma(const MmaKind& kind, const MmaOperands& mine);
LATHE_EMULATOR_API void ldmatrix(uint32_t* registers, const void* row, int matrices, bool transposed);
/** cp.async, its commit_group, wait_group and wait_all: core/async_copy.cpp. What is beyond `source_bytes` is zeroed. */
LATHE_EMULATOR_API void async_copy(void* to, const void* from, unsigned bytes, unsigned source_bytes);
LATHE_EMULATOR_API void async_commit();
LATHE_EMULATOR_API void async_wait(unsigned groups);
LATHE_EMULATOR_API void async_wait_all();
LATHE_EMULATOR_API void thread_fence();
LATHE_EMULATOR_API [[gnu::const]] unsigned lane();

/** The block's copy of the shared array that is declared at `site`; poisoned when the block first meets it. */
LATHE_EMULATOR_API void* shared(const void* site, size_t bytes, size_t alignment);
LATHE_EMULATOR_API void* dynamic_shared();

/**
 * Goes before an atomic operation, or a read that waits for another thread: checks it as one access, and where it is one
 * of many that find the same, lets other threads and blocks run, so that the wait can end.
 */
LATHE_EMULATOR_API void before_atomic(const volatile void* address, size_t bytes);

LATHE_EMULATOR_API void register_kernel(const Kernel& kernel);

}  // namespace lathe::emulator

extern "C" {
/** The report of the last fault, or "" where there was none since the last clear. Valid until the next call. */
LATHE_EMULATOR_API const char* lathe_emulator_last_report();
LATHE_EMULATOR_API void lathe_emulator_clear_report();
/**
 * How blocks and threads are scheduled: "parallel" (blocks on all cores at once), or always the same way: "forward",
 * "reverse" or "random:SEED". @return 0, or 1 if it is none of these
 */
LATHE_EMULATOR_API int lathe_emulator_set_order(const char* order);
/** When the commands of streams run: "late", "random:SEED" or "concurrent". @return 0, or 1 if it is none of these */
LATHE_EMULATOR_API int lathe_emulator_set_streams(const char* timing);
/** How tensor cores add: "rounded", "ampere" or "hopper" (core/sums.h). @return 0, or 1 if it is none of these */
LATHE_EMULATOR_API int lathe_emulator_set_sums(const char* sums);
}
