/* The floating types that keys and values are kept in: F32, F16, BF16. INT8: kv_int8.cuh. */
#pragma once
#include <cuda_fp16.h>

#include "numeric.cuh"

using f16 = __half;

__device__ __forceinline__ float kv_to_float(float x) { return x; }
__device__ __forceinline__ float kv_to_float(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float kv_to_float(f16 x) { return __half2float(x); }

template <class T>
__device__ __forceinline__ T to_kv(float x);
template <>
__device__ __forceinline__ float to_kv<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 to_kv<bf16>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
__device__ __forceinline__ f16 to_kv<f16>(float x) {
  return __float2half_rn(x);
}

/** Four values that lie together: read as F32 and written as what the cache holds. */
template <class T>
struct alignas(4 * sizeof(T)) Four {
  T values[4];
};

__device__ __forceinline__ Four<float> load_four(const float* from) {
  return *reinterpret_cast<const Four<float>*>(from);
}
template <class T>
__device__ __forceinline__ void store_four(T* to, const Four<float>& x) {
  Four<T> stored;
#pragma unroll
  for (int i = 0; i < 4; i++) stored.values[i] = to_kv<T>(x.values[i]);
  *reinterpret_cast<Four<T>*>(to) = stored;
}

__device__ __forceinline__ int smaller(int a, int b) { return a < b ? a : b; }
__device__ __forceinline__ int larger(int a, int b) { return a > b ? a : b; }

/** Where a part of `count` steps begins, all parts being as long as can be. No 64-bit division: that is a call. */
__device__ __forceinline__ int part_begin(int count, int used, int split) {
  return count / used * split + smaller(split, count % used);
}
