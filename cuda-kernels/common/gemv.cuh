/* A few rows of x times weights that are read once:  out[t, r] (+)= sum_c x[t, c] w[r, c] + bias[r], t < batch <= 8
 *
 * A team of 1, 2 or 4 warps computes kRows rows of w. Its lanes take 16 bytes of each row at a time, the next ones of the
 * team the next 16: chunk i of a row is always lane i % (32 warps)'s, so how a sum is made up depends on the weight's
 * shape alone: not on the batch, nor on where anything lies.
 *
 * What a block's teams need of x lies in shared memory, `tile` columns at a time, in the order in which they take it:
 * columns 4 j to 4 j + 3 of the chunks of 32 lanes side by side, so that lanes read 16 bytes each without bank conflicts.
 * Weights of the next round are on their way while this one's are multiplied: 16 kRows kUnroll bytes a thread.
 */
#pragma once
#include "reduce.cuh"
#include "weights.cuh"

constexpr int kGemvThreads = 256;

struct Product {
  float* out;
  int64_t out_stride;
  const float* x;
  int64_t x_stride;
  const float* bias;  // may be null
  int batch, add;
  int64_t rows;
  int cols;
};

#define LINEAR_TENSORS float *out, int64_t out_stride, const float *x, int64_t x_stride, const float *bias, int batch, int add
#define LINEAR_PRODUCT \
  { out, out_stride, x, x_stride, bias, batch, add, rows, cols }

/** 4 columns of a row of x from `column` on; zeros behind the last. */
__device__ __forceinline__ float4 four_of_x(const Product& p, int row, int column, bool aligned) {
  const float* from = p.x + row * p.x_stride + column;
  if (aligned && column + 4 <= p.cols) return *reinterpret_cast<const float4*>(from);
  float4 four = {0, 0, 0, 0};
  if (column < p.cols) four.x = from[0];
  if (column + 1 < p.cols) four.y = from[1];
  if (column + 2 < p.cols) four.z = from[2];
  if (column + 3 < p.cols) four.w = from[3];
  return four;
}

/** Each step is rounded by itself: fused in one kernel and not in another, a row would depend on its batch's size. */
__device__ __forceinline__ void finish(const Product& p, int64_t row, int t, float sum) {
  if (p.bias != nullptr) sum = __fadd_rn(sum, p.bias[row]);
  float* to = p.out + t * p.out_stride + row;
  *to = p.add ? __fadd_rn(*to, sum) : sum;
}

template <class Weights, int kBatch, int kRows, int kUnroll>
__device__ __forceinline__ void gemv(const Product& p, const Weights& weights, int warps_per_row, int tile) {
  constexpr int kCount = Weights::kCount, kFours = kCount / 4, kWarps = kGemvThreads / 32;
  LATHE_DYNAMIC_SHARED(float4, staged);  // [kBatch, tile / 4]
  LATHE_SHARED(float, sums, [kWarps][kRows * kBatch]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int part = warp % warps_per_row, lanes = 32 * warps_per_row;
  int64_t first_row = (static_cast<int64_t>(blockIdx.x) * (kWarps / warps_per_row) + warp / warps_per_row) * kRows;
  typename Weights::Row rows[kRows];  // what lies behind the last is computed as if it were the last, and not written
#pragma unroll
  for (int r = 0; r < kRows; r++) rows[r] = weights.row(first_row + r < p.rows ? first_row + r : p.rows - 1);

  typename Weights::Chunk chunks[kRows][kUnroll];
  auto load = [&](int round) {
#pragma unroll
    for (int u = 0; u < kUnroll; u++) {
      int column = ((round * kUnroll + u) * lanes + 32 * part + lane) * kCount;
#pragma unroll
      for (int r = 0; r < kRows; r++) chunks[r][u] = weights.load(rows[r], column, p.cols);
    }
  };
  load(0);

  float acc[kRows][kBatch] = {};
  bool x_aligned = is_aligned16(p.x) && p.x_stride % 4 == 0;
  int round_columns = kUnroll * lanes * kCount;
  for (int start = 0, round = 0; start < p.cols; start += tile) {
    if (start > 0) __syncthreads();
    for (int b = 0; b < kBatch; b++)
      for (int f = threadIdx.x; f < tile / 4; f += kGemvThreads) {
        int chunk = f / kFours, to = (chunk / 32 * kFours + f % kFours) * 32 + chunk % 32;
        float4 four = {0, 0, 0, 0};
        if (b < p.batch) four = four_of_x(p, b, start + 4 * f, x_aligned);
        staged[b * (tile / 4) + to] = four;
      }
    __syncthreads();
    for (int at = 0; at < tile && start + at < p.cols; at += round_columns, round++) {
      typename Weights::Chunk now[kRows][kUnroll];
#pragma unroll
      for (int u = 0; u < kUnroll; u++)
#pragma unroll
        for (int r = 0; r < kRows; r++) now[r][u] = chunks[r][u];
      if (start + at + round_columns < p.cols) load(round + 1);
#pragma unroll
      for (int u = 0; u < kUnroll; u++) {
        int group = (at / kCount + u * lanes) / 32 + part;  // of 32 chunks, in the tile
#pragma unroll
        for (int i = 0; i < kFours; i++) {
          float w[kRows][4];
#pragma unroll
          for (int r = 0; r < kRows; r++) weights.widen(w[r], now[r][u], i, rows[r]);
#pragma unroll
          for (int b = 0; b < kBatch; b++) {
            float4 four = staged[b * (tile / 4) + (group * kFours + i) * 32 + lane];
#pragma unroll
            for (int r = 0; r < kRows; r++) {
              acc[r][b] = fmaf(four.x, w[r][0], acc[r][b]);
              acc[r][b] = fmaf(four.y, w[r][1], acc[r][b]);
              acc[r][b] = fmaf(four.z, w[r][2], acc[r][b]);
              acc[r][b] = fmaf(four.w, w[r][3], acc[r][b]);
            }
          }
        }
      }
    }
  }

#pragma unroll
  for (int r = 0; r < kRows; r++)
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      float sum = warp_sum(acc[r][b]);
      if (lane == r * kBatch + b) sums[warp][lane] = sum;
    }
  __syncthreads();
  if (part == 0 && lane < kRows * kBatch) {
    int64_t row = first_row + lane / kBatch;
    int t = lane % kBatch;
    if (row < p.rows && t < p.batch) {
      float sum = sums[warp][lane];
      for (int other = 1; other < warps_per_row; other++) sum += sums[warp + other][lane];
      finish(p, row, t, weights.scaled(sum, row));
    }
  }
}
