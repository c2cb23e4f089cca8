/* A weak definition of every function that JCublas links against: those that the stand-in has override it, and the
 * others name themselves, where a missing symbol would end the JVM.
 */
#include <cstdio>

#include "cublas_types.h"

namespace {

int unsupported(const char* name) {
  fprintf(stderr, "lathe emulator: %s is not implemented\n", name);
  return lathe::emulator::kNotSupported;
}

}  // namespace

#define LATHE_CUBLAS_FUNCTION(NAME) \
  extern "C" __attribute__((weak, visibility("default"))) int NAME() { return unsupported(#NAME); }
#include "cublas_api.def"
