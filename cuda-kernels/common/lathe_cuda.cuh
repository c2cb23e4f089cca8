/* What every .cu file includes. nvcc makes CUDA of it; g++ (-DLATHE_EMULATOR) makes the same kernels for the emulated GPU.
 *
 *   LATHE_KERNEL(name, max_threads, (params...)) { body }     a kernel that cuModuleGetFunction finds by `name`
 *   LATHE_SHARED(float, sums, [32]);                          __shared__ float sums[32];
 *   LATHE_DYNAMIC_SHARED(float, tile);                        extern __shared__ float tile[], as large as the launch says
 *
 * Shared arrays go through a macro because a C++ compiler can't tell one block's from another's, and because only so can
 * each have bounds of its own.
 */
#pragma once

#ifdef LATHE_EMULATOR

#include <lathe_device.h>

#define LATHE_KERNEL(NAME, MAX_THREADS, PARAMS)                                   \
  static void NAME PARAMS;                                                        \
  [[gnu::used]] static const ::lathe::emulator::Registration NAME##_registration{ \
      #NAME, MAX_THREADS, std::integral_constant<decltype(&NAME), &NAME>()};      \
  static void NAME PARAMS

#define LATHE_SHARED(TYPE, NAME, EXTENTS)           \
  using NAME##_array = TYPE EXTENTS;                \
  static char NAME##_site;                          \
  NAME##_array& NAME = *static_cast<NAME##_array*>( \
      ::lathe::emulator::shared(&NAME##_site, sizeof(NAME##_array), alignof(NAME##_array)))

#define LATHE_DYNAMIC_SHARED(TYPE, NAME) TYPE* NAME = static_cast<TYPE*>(::lathe::emulator::dynamic_shared())

#else

#include <cstdint>

#define LATHE_KERNEL(NAME, MAX_THREADS, PARAMS) extern "C" __global__ void __launch_bounds__(MAX_THREADS) NAME PARAMS
#define LATHE_SHARED(TYPE, NAME, EXTENTS) __shared__ TYPE NAME EXTENTS
#define LATHE_DYNAMIC_SHARED(TYPE, NAME)                                \
  extern __shared__ __align__(16) unsigned char lathe_dynamic_shared[]; \
  TYPE* NAME = reinterpret_cast<TYPE*>(lathe_dynamic_shared)

#endif

#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;
