/* What the blocks that shared a tile's keys have left, together (flash-decoding: Dao et al. 2023)
 *
 *   out[row, :] = sum_s exp(largest_s - largest) sums_s[row, :] / sum_s exp(largest_s - largest) total_s
 *
 * By the last of those blocks, which saves a launch, or by paged_attention_combine; in the order of the parts in both, so
 * that both give the same bits whoever comes last. A part none of whose keys a row sees has largest_s = -inf, total_s = 0.
 */
#pragma once
#include "paged.cuh"

constexpr int kMaxSplits = 128;

/** By one warp: what each part of a row counts; returns the sum of their totals. Parts are `stride` rows apart. */
__device__ __forceinline__ float part_factors(float* factors, const float* stats, int used, int stride) {
  int lane = threadIdx.x % 32;
  float base[kMaxSplits / 32], largest = -INFINITY, total = 0;
#pragma unroll
  for (int i = 0; i < kMaxSplits / 32; i++) {
    int part = 32 * i + lane;
    base[i] = part < used ? __ldcg(stats + 2 * static_cast<int64_t>(part) * stride) : -INFINITY;
    largest = fmaxf(largest, base[i]);
  }
  largest = warp_max(largest);
#pragma unroll
  for (int i = 0; i < kMaxSplits / 32; i++) {
    int part = 32 * i + lane;
    if (part >= used) continue;
    factors[part] = expf(base[i] - largest);
    total = fmaf(factors[part], __ldcg(stats + 2 * static_cast<int64_t>(part) * stride + 1), total);
  }
  return warp_sum(total);
}

/** One column of a row; parts are `stride` elements apart. */
__device__ __forceinline__ float combined(const float* sums, const float* factors, int used, int64_t stride, float total) {
  float sum = 0;
#pragma unroll 8
  for (int s = 0; s < used; s++) sum = fmaf(factors[s], __ldcg(sums + s * stride), sum);
  return sum / total;
}

/**
 * Whether this block is the last to come of `used`, which then sees what the others have written before. Leaves the counter
 * at 0, as the next launch, or the next replay of this one, needs it.
 */
__device__ __forceinline__ bool comes_last(int* arrived, int used) {
  LATHE_SHARED(int, last, [1]);
  __threadfence();  // what this thread wrote, before the block is counted
  __syncthreads();
  if (threadIdx.x == 0) {
    last[0] = atomicAdd(arrived, 1) == used - 1;
    if (last[0]) atomicExch(arrived, 0);
    __threadfence();  // the others' counting, before what they wrote is read
  }
  __syncthreads();
  return last[0] != 0;
}

/** All rows of a tile by one block, if it comes last. `memory` [tile.rows, used + 1]: factors and their total. */
__device__ __forceinline__ void combine_if_last(float* out, float* memory, const AttentionShape& shape, const Tile& tile,
                                                const Partials& partials, int kv_head, int used, int rows_per_tile) {
  if (!comes_last(partials.arrived + static_cast<int64_t>(tile.index) * shape.kv_heads + kv_head, used)) return;
  int64_t first = partials.row(shape, tile, kv_head, 0, rows_per_tile, 0);
  for (int row = threadIdx.x / 32; row < tile.rows; row += blockDim.x / 32) {
    float* factors = memory + row * (used + 1);
    float total = part_factors(factors, partials.stats + 2 * (first + row), used, rows_per_tile);
    if (threadIdx.x % 32 == 0) factors[used] = total;
  }
  __syncthreads();
  int64_t stride = static_cast<int64_t>(rows_per_tile) * shape.head_dim;
  for (int i = threadIdx.x; i < tile.rows * shape.head_dim; i += blockDim.x) {
    int row = i / shape.head_dim, c = i % shape.head_dim;
    const float* factors = memory + row * (used + 1);
    out_row(out, shape, tile, kv_head, row)[c] =
        combined(partials.sums + (first + row) * shape.head_dim + c, factors, used, stride, factors[used]);
  }
}
