/* Sums over a warp and over a block. */
#pragma once
#include "lathe_cuda.cuh"

/** The sum over the 32 lanes, in every lane, in the same order everywhere. */
__device__ __forceinline__ float warp_sum(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

/** The largest of the 32 lanes, in every lane. */
__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, offset));
  return x;
}

/** The sum over a block of whole warps, in every thread. The block must not call it twice without a barrier between. */
__device__ __forceinline__ float block_sum(float x) {
  LATHE_SHARED(float, warp_sums, [32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  x = warp_sum(x);
  if (lane == 0) warp_sums[warp] = x;
  __syncthreads();
  return warp_sum(lane < warps ? warp_sums[lane] : 0.0f);
}
