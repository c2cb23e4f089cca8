/* Conversions between storage and fp32, and 16 bytes at a time from memory. */
#pragma once
#include "lathe_cuda.cuh"

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(bf16 x) { return __bfloat162float(x); }

__device__ __forceinline__ void store(float* to, float x) { *to = x; }
__device__ __forceinline__ void store(bf16* to, float x) { *to = __float2bfloat16_rn(x); }

/** 16 bytes of T, which a thread moves with one instruction. */
template <class T>
struct alignas(16) Pack {
  static constexpr int kCount = 16 / static_cast<int>(sizeof(T));
  T values[kCount];
};

__device__ __forceinline__ bool is_aligned16(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % 16 == 0;
}
