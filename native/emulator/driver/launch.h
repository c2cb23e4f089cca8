/* A launch, checked against what the device and the kernel allow. */
#pragma once
#include "objects.h"

namespace lathe::emulator {

struct Driver;

struct LaunchShape {
  Dim3 grid, block;
  unsigned shared_bytes;
  bool cooperative = false;
};

/** Copies the arguments that `values` points to; the result of a launch that isn't allowed says why. */
CUresult make_launch(Driver& d, const Function* function, const LaunchShape& shape, void* const* values, void** extra,
                     Launch* launch);

}  // namespace lathe::emulator
