/* What `g++ -fsanitize=thread` calls before each access. The sanitizer's own runtime isn't linked: it would want to own
 * the process, and the JVM already does.
 *
 * The names are GCC's. A call that has no alignment in its name comes from a type with its natural alignment, and the
 * GPU faults where the address lacks it; the "unaligned" ones come from packed types and memcpy.
 */
#include "block.h"

using lathe::emulator::Access;
using lathe::emulator::BlockRunner;
using lathe::emulator::runner_or_null;

namespace {

void check(const volatile void* address, size_t bytes, size_t alignment, Access kind, const void* code) {
  // None runs while a module is loaded: its constructors are instrumented too.
  if (BlockRunner* runner = runner_or_null())
    runner->access(reinterpret_cast<uintptr_t>(address), bytes, alignment, kind, code);
}

}  // namespace

extern "C" {

#define LATHE_CODE __builtin_return_address(0)
#define LATHE_CALLBACK(NAME, BYTES, ALIGNMENT, ACCESS) \
  LATHE_EMULATOR_API void NAME##BYTES(void* address) { check(address, BYTES, ALIGNMENT, ACCESS, LATHE_CODE); }
#define LATHE_ACCESS(BYTES)                                         \
  LATHE_CALLBACK(__tsan_read, BYTES, BYTES, Access::kRead)          \
  LATHE_CALLBACK(__tsan_write, BYTES, BYTES, Access::kWrite)        \
  LATHE_CALLBACK(__tsan_unaligned_read, BYTES, 1, Access::kRead)    \
  LATHE_CALLBACK(__tsan_unaligned_write, BYTES, 1, Access::kWrite)  \
  LATHE_CALLBACK(__tsan_volatile_read, BYTES, BYTES, Access::kRead) \
  LATHE_CALLBACK(__tsan_volatile_write, BYTES, BYTES, Access::kWrite)

LATHE_ACCESS(1)
LATHE_ACCESS(2)
LATHE_ACCESS(4)
LATHE_ACCESS(8)
LATHE_ACCESS(16)

LATHE_EMULATOR_API void __tsan_read_range(void* address, size_t bytes) {
  check(address, bytes, 1, Access::kRead, LATHE_CODE);
}
LATHE_EMULATOR_API void __tsan_write_range(void* address, size_t bytes) {
  check(address, bytes, 1, Access::kWrite, LATHE_CODE);
}
LATHE_EMULATOR_API void __tsan_func_entry(void*) {
  if (BlockRunner* runner = runner_or_null())
    runner->check_stack(reinterpret_cast<uintptr_t>(__builtin_frame_address(0)));
}
LATHE_EMULATOR_API void __tsan_func_exit(void*) {}
LATHE_EMULATOR_API void __tsan_init() {}

// An instrumented memcpy is a call that the compiler leaves alone: device code copies small things with it.
LATHE_EMULATOR_API void* __tsan_memcpy(void* to, const void* from, size_t bytes) {
  check(from, bytes, 1, Access::kRead, LATHE_CODE);
  check(to, bytes, 1, Access::kWrite, LATHE_CODE);
  return __builtin_memcpy(to, from, bytes);
}
LATHE_EMULATOR_API void* __tsan_memset(void* to, int value, size_t bytes) {
  check(to, bytes, 1, Access::kWrite, LATHE_CODE);
  return __builtin_memset(to, value, bytes);
}
}
