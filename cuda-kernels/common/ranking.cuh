/* Values with their columns, as integers that are ordered as the reference orders them: larger first, of equals the first. */
#pragma once
#include "lathe_cuda.cuh"

/** Columns of a row that one block goes through. */
constexpr int64_t kChunk = 4096;

/** -0 becomes 0; NaN comes below all numbers, but in column 0 above them, since nothing compares larger. */
__device__ __forceinline__ uint64_t ranked(float x, unsigned column) {
  unsigned bits = __float_as_uint(x + 0.0f);
  bool nan = (bits & 0x7fffffffu) > 0x7f800000u;
  unsigned ordered = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  if (nan) ordered = column == 0 ? 0xffffffffu : 0;
  return static_cast<uint64_t>(ordered) << 32 | (0xffffffffu - column);
}

__device__ __forceinline__ unsigned column_of(uint64_t rank) { return 0xffffffffu - static_cast<unsigned>(rank); }

__device__ __forceinline__ float value_of(uint64_t rank) {
  unsigned ordered = static_cast<unsigned>(rank >> 32);
  return __uint_as_float((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}

/** The largest over a block of whole warps, in thread 0. */
__device__ __forceinline__ uint64_t block_largest(uint64_t x) {
  LATHE_SHARED(uint64_t, of_warps, [32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    uint64_t other = __shfl_xor_sync(0xffffffffu, x, offset);
    if (other > x) x = other;
  }
  if (lane == 0) of_warps[warp] = x;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int w = 1; w < warps; w++)
      if (of_warps[w] > x) x = of_warps[w];
  return x;
}
