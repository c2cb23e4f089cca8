/* Decode on tensor cores: how the warps of a block share a tile's keys, and how their sums come together.
 *
 * A block has a tile of 16 rows, a kv head and one of several parts of its keys (flash-decoding), and each of its 4 warps takes
 * every fourth step of 16 keys of them. Page numbers are read 32 steps ahead, one for 16 keys where page_size is a multiple of
 * 16, so that small pages cost what large ones do.
 */
#pragma once
#include "combine.cuh"
#include "score_tiles.cuh"

constexpr int kDecodeWarps = 4;
constexpr int kDecodeRows = 16;
constexpr int kStepKeys = 16;

__device__ __forceinline__ void wait_for_all_but(int groups) {
  switch (groups) {
    case 0: return cp_async_wait<0>();
    case 1: return cp_async_wait<1>();
    case 2: return cp_async_wait<2>();
    default: return cp_async_wait<3>();
  }
}

/** A warp's steps, and their pages. */
struct WarpSteps {
  const AttentionShape& shape;
  const Tile& tile;
  int first_step, steps;  // this warp's: first_step, first_step + kDecodeWarps, ...
  bool one_page;          // for each step
  int pages, pages_ahead;  // of the 32 steps that lanes stand for, and of the next 32

  __device__ __forceinline__ WarpSteps(const AttentionShape& shape, const Tile& tile, int first, int end)
      : shape(shape),
        tile(tile),
        first_step(first + static_cast<int>(threadIdx.x) / 32),
        steps(larger(0, (end - first_step + kDecodeWarps - 1) / kDecodeWarps)),
        one_page(shape.page_size % kStepKeys == 0) {}

  __device__ __forceinline__ void read_pages() {
    int lane = threadIdx.x % 32;
    pages = page_of(lane);
    pages_ahead = page_of(32 + lane);
  }

  __device__ __forceinline__ int key(int step) const { return (first_step + kDecodeWarps * step) * kStepKeys; }
  __device__ __forceinline__ int page_of(int step) const {
    return step < steps && one_page ? tile.pages[key(step) / shape.page_size] : 0;
  }
  /** Steps one after another, by all lanes; nothing where a step has several. */
  __device__ __forceinline__ int page(int step) {
    if (step > 0 && step % 32 == 0) {
      pages = pages_ahead;
      pages_ahead = page_of(step + 32 + static_cast<int>(threadIdx.x) % 32);
    }
    return __shfl_sync(0xffffffffu, pages, step % 32);
  }
};

/**
 * Puts the warps' sums together: `memory` [warps, rows, kDims + 4] of each relative to its own largest score, where
 * put(i, to) writes what a lane has of its row i. Stages of keys and values lie in the same memory. `exponent`: what
 * probabilities are multiplied by 2^this for.
 */
template <int kDims, class Put>
__device__ __forceinline__ void finish(float* out, float* memory, LaneRows& rows, const AttentionShape& shape,
                                       const Tile& tile, const Partials& partials, int kv_head, int split, int used,
                                       float exponent, Put put) {
  LATHE_SHARED(float, stats, [kDecodeWarps][kDecodeRows][2]);
  constexpr int kStride = kDims + 4;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  rows.add_up_totals();
  cp_async_wait<0>();
  __syncthreads();  // nobody reads the stages any more: the sums take their place
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int row = lane / 4 + 8 * i;
    if (lane % 4 == 0) {
      stats[warp][row][0] = rows.largest[i];
      stats[warp][row][1] = rows.total[i];
    }
    put(i, memory + (warp * kDecodeRows + row) * kStride);
  }
  __syncthreads();
  for (int row = warp; row < tile.rows; row += kDecodeWarps) {
    float largest = -INFINITY, total = 0, factor[kDecodeWarps];
#pragma unroll
    for (int w = 0; w < kDecodeWarps; w++) largest = fmaxf(largest, stats[w][row][0]);
#pragma unroll
    for (int w = 0; w < kDecodeWarps; w++) {
      factor[w] = stats[w][row][0] == -INFINITY ? 0.0f : exp2f(stats[w][row][0] - largest);
      total += factor[w] * stats[w][row][1];
    }
    int64_t at = partials.row(shape, tile, kv_head, split, kDecodeRows, row);
    float* to = used == 1 ? out_row(out, shape, tile, kv_head, row) : partials.sums + at * shape.head_dim;
    float divisor = used == 1 ? total : 1.0f;
    for (int c = lane; c < shape.head_dim; c += 32) {
      float sum = 0;
#pragma unroll
      for (int w = 0; w < kDecodeWarps; w++) sum += factor[w] * memory[(w * kDecodeRows + row) * kStride + c];
      to[c] = sum / divisor;
    }
    if (used > 1 && lane == 0) {
      partials.stats[2 * at] = (largest - exponent) / kLog2e;
      partials.stats[2 * at + 1] = total;
    }
  }
  if (used > 1 && partials.arrived != nullptr)
    combine_if_last(out, memory, shape, tile, partials, kv_head, used, kDecodeRows);
}
