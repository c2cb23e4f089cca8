/* CUDA C++ for g++: what nvcc has built in, spelled for the emulated GPU. Included through common/lathe_cuda.cuh.
 *
 * Not here: wgmma, TMA and mbarrier (kernels that use them have a twin that doesn't), textures, dynamic parallelism.
 */
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "lathe_emulator.h"
#include "lathe_math.h"
#include "lathe_vectors.h"
#include "lathe_warp.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define __constant__ static const

using dim3 = ::lathe::emulator::Dim3;
#define threadIdx (::lathe::emulator::thread_index())
#define blockIdx (::lathe::emulator::block_index())
#define blockDim (::lathe::emulator::block_size())
#define gridDim (::lathe::emulator::grid_size())
inline constexpr int warpSize = 32;

inline void __syncthreads() { ::lathe::emulator::sync_threads(); }
inline void __threadfence() { ::lathe::emulator::thread_fence(); }
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) {}

// Blocks run on several cores at once, so these are the machine's own atomics. They aren't instrumented: before_atomic
// has checked them.
#define LATHE_UNCHECKED __attribute__((noinline, no_sanitize("thread")))

/** Replaces what is at `address` by what `change` makes of it, in one step. @return what was there */
template <class T, class Change>
LATHE_UNCHECKED T lathe_atomic_change(T* address, Change change) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  ::lathe::emulator::before_atomic(address, sizeof(T));
  T old, fresh;
  __atomic_load(address, &old, __ATOMIC_RELAXED);
  do {
    fresh = change(old);
  } while (!__atomic_compare_exchange(address, &old, &fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
  return old;
}
template <class T>
LATHE_UNCHECKED T atomicAdd(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return static_cast<T>(old + value); });
}
template <class T>
LATHE_UNCHECKED T atomicMax(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return old < value ? value : old; });
}
template <class T>
LATHE_UNCHECKED T atomicSub(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return static_cast<T>(old - value); });
}
template <class T>
LATHE_UNCHECKED T atomicMin(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return value < old ? value : old; });
}
template <class T>
LATHE_UNCHECKED T atomicAnd(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return static_cast<T>(old & value); });
}
template <class T>
LATHE_UNCHECKED T atomicOr(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return static_cast<T>(old | value); });
}
template <class T>
LATHE_UNCHECKED T atomicXor(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return static_cast<T>(old ^ value); });
}
/** Counts up to `last`, then starts again at 0. */
LATHE_UNCHECKED inline unsigned atomicInc(unsigned* address, unsigned last) {
  return lathe_atomic_change(address, [=](unsigned old) LATHE_UNCHECKED { return old >= last ? 0u : old + 1; });
}
template <class T>
LATHE_UNCHECKED T atomicExch(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T) LATHE_UNCHECKED { return value; });
}
template <class T>
LATHE_UNCHECKED T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return old == expected ? value : old; });
}

namespace lathe::emulator {

/** Calls a kernel with the arguments that a void*[] points to: cuLaunchKernel passes no types. */
template <auto kKernel>
struct Trampoline;

template <class... Arguments, void (*kKernel)(Arguments...)>
struct Trampoline<kKernel> {
  static_assert((std::is_trivially_copyable_v<Arguments> && ...), "kernel arguments are copied as bytes");
  static constexpr std::array<size_t, sizeof...(Arguments)> kBytes{sizeof(Arguments)...};

  static void invoke(const void* const* arguments) { call(arguments, std::index_sequence_for<Arguments...>()); }

  template <size_t... kIndex>
  static void call(const void* const* arguments, std::index_sequence<kIndex...>) {
    kKernel(copy<Arguments>(arguments, kIndex)...);
  }

  // The driver's copy lies outside all that a kernel may touch, so the checked build must not see it being read.
  template <class T>
  LATHE_UNCHECKED static T copy(const void* const* arguments, size_t index) {
    return *static_cast<const T*>(arguments[index]);
  }
};

struct Registration {
  template <class Function, Function kKernel>
  Registration(const char* name, unsigned max_threads, std::integral_constant<Function, kKernel>) {
#ifdef __SANITIZE_THREAD__
    constexpr bool kChecked = true;
#else
    constexpr bool kChecked = false;
#endif
    using Call = Trampoline<kKernel>;
    register_kernel({name, &Call::invoke, Call::kBytes.data(), Call::kBytes.size(), max_threads, kChecked});
  }
};

}  // namespace lathe::emulator
