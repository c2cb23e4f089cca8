/* Where INT8 keys and values lie: of each page and kv head first page_size * head_dim codes, row by row, then page_size
 * scales in f32 (KvLayer). What a row holds is its codes times its scale.
 *
 * Scales lie at multiples of 4 bytes where head_dim * page_size is one; elsewhere a scale is moved byte by byte.
 */
#pragma once
#include <cstdint>

#include "lathe_cuda.cuh"

constexpr int kScaleBytes = sizeof(float);

/** Bytes from the start of keys, or of values. */
struct Int8Row {
  int64_t codes, scale;

  /** Row `row` of what a page holds of a kv head; `head` = page * kv_heads + kv_head. */
  __device__ __forceinline__ Int8Row(int64_t head, int row, int page_size, int head_dim) {
    int64_t first = head * page_size * (head_dim + kScaleBytes);
    codes = first + static_cast<int64_t>(row) * head_dim;
    scale = first + static_cast<int64_t>(page_size) * head_dim + row * kScaleBytes;
  }
};

__device__ __forceinline__ float load_scale(const int8_t* from) {
  if (reinterpret_cast<uintptr_t>(from) % kScaleBytes == 0) return *reinterpret_cast<const float*>(from);
  uint32_t bits = 0;
#pragma unroll
  for (int i = 0; i < kScaleBytes; i++) bits |= static_cast<uint32_t>(static_cast<uint8_t>(from[i])) << (8 * i);
  return __uint_as_float(bits);
}

__device__ __forceinline__ void store_scale(int8_t* to, float scale) {
  if (reinterpret_cast<uintptr_t>(to) % kScaleBytes == 0) {
    *reinterpret_cast<float*>(to) = scale;
    return;
  }
#pragma unroll
  for (int i = 0; i < kScaleBytes; i++) to[i] = static_cast<int8_t>(__float_as_uint(scale) >> (8 * i));
}
