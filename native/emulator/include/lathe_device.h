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

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict

using dim3 = ::lathe::emulator::Dim3;
#define threadIdx (::lathe::emulator::thread_index())
#define blockIdx (::lathe::emulator::block_index())
#define blockDim (::lathe::emulator::block_size())
#define gridDim (::lathe::emulator::grid_size())
inline constexpr int warpSize = 32;

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(16) int4 {
  int x, y, z, w;
};

inline void __syncthreads() { ::lathe::emulator::sync_threads(); }
inline void __syncwarp(unsigned mask = ~0u) { ::lathe::emulator::sync_warp(mask); }
inline void __threadfence() { ::lathe::emulator::thread_fence(); }
inline unsigned __ballot_sync(unsigned mask, int predicate) { return ::lathe::emulator::ballot(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  unsigned lane = ::lathe::emulator::lane();
  unsigned first = lane & ~static_cast<unsigned>(width - 1);
  bits = ::lathe::emulator::shuffle(mask, bits,
                                    first | (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)));
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  int lane = static_cast<int>(::lathe::emulator::lane()) & (width - 1);
  int source = lane ^ bits;
  return __shfl_sync(mask, value, source < width ? source : lane, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = ::lathe::emulator::lane() & static_cast<unsigned>(width - 1);
  return __shfl_sync(mask, value, static_cast<int>(lane + delta < static_cast<unsigned>(width) ? lane + delta : lane),
                     width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = ::lathe::emulator::lane() & static_cast<unsigned>(width - 1);
  return __shfl_sync(mask, value, static_cast<int>(lane >= delta ? lane - delta : lane), width);
}

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
LATHE_UNCHECKED T atomicExch(T* address, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T) LATHE_UNCHECKED { return value; });
}
template <class T>
LATHE_UNCHECKED T atomicCAS(T* address, std::type_identity_t<T> expected, std::type_identity_t<T> value) {
  return lathe_atomic_change(address, [=](T old) LATHE_UNCHECKED { return old == expected ? value : old; });
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline int __popc(unsigned x) { return std::popcount(x); }

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
