/* A few rows of x times weights that are read once:  out[t, r] (+)= sum_c y[t, c] w[r, c] + bias[r], t < batch <= 8
 *
 *   y = x, or RMSNorm(x): x * rsqrt(mean(x^2) + eps) * norm
 *   with a gate, rows of w are n of the gate and n of up:  out[t, r] = f(gate[t, r]) * up[t, r], r < n
 *
 * A team of 1, 2 or 4 warps computes kRows rows of w; with a gate half of them the gate's and half up's for the same
 * outputs. Its lanes take 16 bytes of each row at a time, the next ones of the team the next 16: chunk i of a row is always
 * lane i % (32 warps)'s, so how a sum is made up depends on the weight's shape alone: not on the batch, nor on where
 * anything lies, nor on whether norm and gate are part of it: a result is what rms_norm_*_f32, the product and gate would
 * have given one after another, to the bit.
 *
 * What a block's teams need of y lies in shared memory, `tile` columns at a time, in the order in which they take it:
 * columns 4 j to 4 j + 3 of the chunks of 32 lanes side by side, so that lanes read 16 bytes each without bank conflicts.
 * Weights of the next round are on their way while this one's are multiplied: 16 kRows kUnroll bytes a thread; those of the
 * first before x is looked at.
 */
#pragma once
#include "activation.cuh"
#include "rms.cuh"
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

/** What comes before and after the product in the same kernel, and how it is divided. */
struct Fused {
  const float* norm;  // [cols] RMSNorm's weights; null: x as it is
  float eps;
  int norm_threads;  // of a block that sums up a row: those of rms_norm_block_f32, or 32 for rms_norm_warp_f32; up to 512
  int gate;          // an Activation; -1: no gate
  int warps_per_row, tile;
};

#define LINEAR_FUSED_PARAMETERS \
  const float *norm, float eps, int norm_threads, int gate, int warps_per_row, int tile
#define LINEAR_FUSED \
  { norm, eps, norm_threads, gate, warps_per_row, tile }

/** 4 columns of a row from `column` on; zeros behind the last. */
__device__ __forceinline__ float4 load_columns(const float* row, int column, int cols, bool aligned) {
  const float* from = row + column;
  if (aligned && column + 4 <= cols) return *reinterpret_cast<const float4*>(from);
  float4 four = {0, 0, 0, 0};
  if (column < cols) four.x = from[0];
  if (column + 1 < cols) four.y = from[1];
  if (column + 2 < cols) four.z = from[2];
  if (column + 3 < cols) four.w = from[3];
  return four;
}
__device__ __forceinline__ float4 four_of_x(const Product& p, int row, int column, bool aligned) {
  return load_columns(p.x + row * p.x_stride, column, p.cols, aligned);
}

__device__ __forceinline__ float with_bias(const Product& p, int64_t row, float sum) {
  return p.bias == nullptr ? sum : __fadd_rn(sum, p.bias[row]);
}

/** Each step is rounded by itself: fused in one kernel and not in another, a row would depend on its batch's size. */
__device__ __forceinline__ void finish(const Product& p, int64_t row, int t, float sum) {
  float* to = p.out + t * p.out_stride + row;
  float result = with_bias(p, row, sum);
  *to = p.add ? __fadd_rn(*to, result) : result;
}

/** RMSNorm's factor of each row of x, added up as rms_norm_*_f32 does with norm_threads threads a row. */
template <int kBatch>
__device__ __forceinline__ void norm_factors(float* factors, const Product& p, const Fused& fused) {
  LATHE_SHARED(float, warp_sums, [kBatch][16]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  bool packed = p.cols % 4 == 0 && p.x_stride % 4 == 0 && is_aligned16(p.x) && is_aligned16(fused.norm);
  for (int b = 0; b < p.batch; b++) {
    const float* row = p.x + b * p.x_stride;
    for (int thread = threadIdx.x; thread < fused.norm_threads; thread += kGemvThreads) {
      float sum = packed ? squares<true>(row, p.cols, thread, fused.norm_threads)
                         : squares<false>(row, p.cols, thread, fused.norm_threads);
      sum = warp_sum(sum);
      if (lane == 0) warp_sums[b][thread / 32] = sum;
    }
  }
  __syncthreads();
  for (int b = warp; b < p.batch; b += kGemvThreads / 32) {
    float sum = warp_sum(lane < fused.norm_threads / 32 ? warp_sums[b][lane] : 0.0f);
    if (lane == 0) factors[b] = rms_factor(sum, p.cols, fused.eps);
  }
  __syncthreads();
}

/** Columns `start` to `start + tile` of y, in the order in which they are taken, for chunks of 4 kFours columns. */
template <int kBatch, int kFours>
__device__ __forceinline__ void stage(float4* staged, const float* factors, const Product& p, const Fused& fused,
                                      int start) {
  int fours = fused.tile / 4;
  bool x_aligned = is_aligned16(p.x) && p.x_stride % 4 == 0, norm_aligned = is_aligned16(fused.norm);
  for (int f = threadIdx.x; f < fours; f += kGemvThreads) {
    int chunk = f / kFours, to = (chunk / 32 * kFours + f % kFours) * 32 + chunk % 32, column = start + 4 * f;
    float4 norm = {0, 0, 0, 0};
    if (fused.norm != nullptr) norm = load_columns(fused.norm, column, p.cols, norm_aligned);
    for (int b = 0; b < kBatch; b++) {
      float4 four = {0, 0, 0, 0};
      if (b < p.batch) {
        four = four_of_x(p, b, column, x_aligned);
        if (fused.norm != nullptr)
          four = {four.x * factors[b] * norm.x, four.y * factors[b] * norm.y, four.z * factors[b] * norm.z,
                  four.w * factors[b] * norm.w};
      }
      staged[b * fours + to] = four;
    }
  }
}

template <class Weights, int kBatch, int kRows, int kUnroll>
__device__ __forceinline__ void gemv(const Product& p, const Weights& weights, const Fused& fused) {
  static_assert(kRows % 2 == 0 && kRows * kBatch <= 32);
  constexpr int kCount = Weights::kCount, kFours = kCount / 4, kWarps = kGemvThreads / 32;
  LATHE_DYNAMIC_SHARED(float4, staged);  // [kBatch, tile / 4]
  LATHE_SHARED(float, sums, [kWarps][kRows * kBatch]);
  LATHE_SHARED(float, factors, [kBatch]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, tile = fused.tile;
  int part = warp % fused.warps_per_row, lanes = 32 * fused.warps_per_row;
  int64_t team = static_cast<int64_t>(blockIdx.x) * (kWarps / fused.warps_per_row) + warp / fused.warps_per_row;
  bool gated = fused.gate >= 0;
  int64_t outputs = gated ? p.rows / 2 : p.rows, first = team * (gated ? kRows / 2 : kRows);
  auto row_of = [&](int r) { return gated && r >= kRows / 2 ? outputs + first + r - kRows / 2 : first + r; };
  typename Weights::Row rows[kRows];  // what lies behind the last is computed as if it were the last, and not written
#pragma unroll
  for (int r = 0; r < kRows; r++) rows[r] = weights.row(row_of(r) < p.rows ? row_of(r) : p.rows - 1);

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
  if (fused.norm != nullptr) norm_factors<kBatch>(factors, p, fused);

  float acc[kRows][kBatch] = {};
  int round_columns = kUnroll * lanes * kCount;
  for (int start = 0, round = 0; start < p.cols; start += tile) {
    if (start > 0) __syncthreads();
    stage<kBatch, kFours>(staged, factors, p, fused, start);
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
  int r = lane / kBatch, t = lane % kBatch;
  if (part != 0 || t >= p.batch || r >= (gated ? kRows / 2 : kRows) || first + r >= outputs) return;
  auto total = [&](int of, int64_t row) {
    float sum = sums[warp][of * kBatch + t];
    for (int other = 1; other < fused.warps_per_row; other++) sum += sums[warp + other][of * kBatch + t];
    return weights.scaled(sum, row);
  };
  if (gated) {
    float of_gate = with_bias(p, first + r, total(r, first + r));
    float of_up = with_bias(p, outputs + first + r, total(r + kRows / 2, outputs + first + r));
    p.out[t * p.out_stride + first + r] = activated(fused.gate, of_gate) * of_up;
  } else {
    finish(p, first + r, t, total(r, first + r));
  }
}
