/* What other libraries of the emulated GPU, such as its cuBLAS, put into a stream: work that the host's own code does.
 * Exported by libcuda.so.1; plain C, so that a library needs nothing else of the emulator.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/** Memory that the work touches: `lines` times `line_bytes`, `stride_bytes` from one to the next. */
struct LatheOperand {
  const char* name;
  uintptr_t address;
  size_t lines, line_bytes, stride_bytes;
  int reads, writes;  // 1 or 0
};

/** Puts work into a stream of the current context. When its turn comes, its operands are checked as a kernel's accesses
 * are: inside allocations, and what is read has been written. What fails is reported and sticks to the context, as a
 * kernel's fault does; else `run` is called and what it writes counts as written.
 *
 * @param what      the operation's name, for reports; a string literal
 * @param run       called on a thread of the driver's
 * @param argument  copied now
 * @return a CUresult
 */
extern "C" __attribute__((visibility("default"))) int lathe_emulator_enqueue(
    void* stream, const char* what, void (*run)(const void* argument), const void* argument, size_t argument_bytes,
    const struct LatheOperand* operands, size_t operand_count);
