/* A weak definition of every function that JCuda links against: those that the emulator has override it, and the others
 * name themselves, where a missing symbol would end the JVM.
 */
#include <cstdio>

namespace {

int unsupported(const char* name) {
  constexpr int kNotSupported = 801;  // CUDA_ERROR_NOT_SUPPORTED
  fprintf(stderr, "lathe emulator: %s is not implemented\n", name);
  return kNotSupported;
}

}  // namespace

#define LATHE_DRIVER_FUNCTION(NAME) \
  extern "C" __attribute__((weak, visibility("default"))) int NAME() { return unsupported(#NAME); }
#include "driver_api.def"
