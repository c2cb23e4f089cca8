#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <new>

#if !defined(__x86_64__)
#error "the emulated GPU switches stacks with x86-64 instructions"
#endif

// The System V ABI leaves rbx, rbp and r12-r15 to the callee; all else is saved by whoever calls this. The rounding mode
// is the same on every stack, so it isn't saved.
asm(R"(
.text
.globl lathe_emulator_switch
.hidden lathe_emulator_switch
.type lathe_emulator_switch, @function
lathe_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lathe_emulator_switch, . - lathe_emulator_switch
)");

namespace lathe::emulator {

namespace {
const size_t kGuardBytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));

constexpr unsigned kMostGuarded = 8192;
std::atomic<unsigned> guarded{0};
}

Stack::Stack(unsigned number) : offset_(number * size_t{5 * 64} % 4096) {
  void* mapped = mmap(nullptr, kGuardBytes + kBytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  if (guarded++ < kMostGuarded && mprotect(mapped, kGuardBytes, PROT_NONE) != 0) throw std::bad_alloc();
  low_ = reinterpret_cast<uintptr_t>(mapped) + kGuardBytes;
}

Stack::~Stack() { munmap(reinterpret_cast<void*>(low_ - kGuardBytes), kGuardBytes + kBytes); }

void* Stack::prepare(void (*entry)()) const {
  auto top = reinterpret_cast<void**>(high() - offset_);
  *--top = nullptr;                         // the return address of `entry`; also aligns its frame as a call would
  *--top = reinterpret_cast<void*>(entry);  // where the switch returns to
  for (int i = 0; i < 6; i++) *--top = nullptr;
  return top;
}

}  // namespace lathe::emulator
