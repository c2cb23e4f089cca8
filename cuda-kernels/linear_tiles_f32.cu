/* Linear layers of 9 rows and more in fp32 throughout:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   out, x   [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   values   [rows, cols]  f32, rows w_stride elements apart
 *   bias     [rows] f32, or null             add: onto what out holds
 *
 * A block computes 32 rows of W by 64 rows of x, a thread 4 by 4 of them: W rows 8 apart, so that 8 lanes read 8 rows from
 * shared memory without bank conflicts, kStride being 4 more than a multiple of 32. cp.async brings both, kStages - 1
 * stages of 32 columns ahead. Blocks with the same rows of W follow each other, so that they find them in L2.
 *
 * 16 bytes a copy where rows start at multiples of 16 bytes; any cols, stride and alignment is correct
 * bound by memory up to some 16 rows, and by fp32 products beyond: 2 * batch * rows * cols
 * blockDim.x is 128
 * twin: ReferenceBackend.linear     proof: LinearKernelsTest     not measured on a GPU yet
 */
#include "common/gemv.cuh"

namespace {

constexpr int kThreads = 128, kTileRows = 32, kTileTokens = 64, kColumns = 32, kStride = kColumns + 4, kStages = 3;
constexpr int kStageFloats = (kTileRows + kTileTokens) * kStride;

}  // namespace

LATHE_KERNEL(linear_tiles_f32, kThreads,
             (LINEAR_TENSORS, const float* values, int64_t w_stride, int64_t rows, int cols)) {
  Product p = LINEAR_PRODUCT;
  LATHE_DYNAMIC_SHARED(float, memory);  // [kStages][kTileRows + kTileTokens][kStride]
  int thread = threadIdx.x, w_lane = thread % 8, x_lane = thread / 8;
  int token_tiles = (batch + kTileTokens - 1) / kTileTokens;
  int first_token = static_cast<int>(blockIdx.x % static_cast<unsigned>(token_tiles)) * kTileTokens;
  int tokens = smaller(kTileTokens, batch - first_token);
  int64_t first_row = static_cast<int64_t>(blockIdx.x / static_cast<unsigned>(token_tiles)) * kTileRows;
  int tile_rows = static_cast<int>(rows - first_row < kTileRows ? rows - first_row : kTileRows);
  bool x_aligned = is_aligned16(x) && x_stride % 4 == 0, w_aligned = is_aligned16(values) && w_stride % 4 == 0;

  auto start = [&](int stage) {
    int first = stage * kColumns;
    if (first < cols) {
      float* to = memory + stage % kStages * kStageFloats;
      for (int i = thread; i < (kTileRows + kTileTokens) * (kColumns / 4); i += kThreads) {
        int r = i / (kColumns / 4), column = first + i % (kColumns / 4) * 4;
        bool of_w = r < kTileRows;
        int t = r - kTileRows;
        const float* from = of_w ? values + (first_row + r) * w_stride : x + (first_token + t) * x_stride;
        bool there = column < cols && (of_w ? r < tile_rows : t < tokens);
        float* place = to + r * kStride + i % (kColumns / 4) * 4;
        if (there && (!(of_w ? w_aligned : x_aligned) || column + 4 > cols)) {
          for (int j = 0; j < 4; j++) place[j] = column + j < cols ? from[column + j] : 0.0f;
        } else {
          cp_async_16(place, there ? from + column : x, there);
        }
      }
    }
    cp_async_commit();
  };

#pragma unroll
  for (int stage = 0; stage < kStages - 1; stage++) start(stage);
  float acc[4][4] = {};  // [row][token]
  int stages = (cols + kColumns - 1) / kColumns;
  for (int stage = 0; stage < stages; stage++) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    start(stage + kStages - 1);
    const float* w_tile = memory + stage % kStages * kStageFloats;
    const float* x_tile = w_tile + kTileRows * kStride;
#pragma unroll 2
    for (int c = 0; c < kColumns; c += 4) {
      float4 w[4], xs[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        w[i] = *reinterpret_cast<const float4*>(w_tile + (w_lane + 8 * i) * kStride + c);
        xs[i] = *reinterpret_cast<const float4*>(x_tile + (4 * x_lane + i) * kStride + c);
      }
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int t = 0; t < 4; t++) {
          acc[r][t] = fmaf(w[r].x, xs[t].x, acc[r][t]);
          acc[r][t] = fmaf(w[r].y, xs[t].y, acc[r][t]);
          acc[r][t] = fmaf(w[r].z, xs[t].z, acc[r][t]);
          acc[r][t] = fmaf(w[r].w, xs[t].w, acc[r][t]);
        }
    }
  }
  cp_async_wait<0>();
#pragma unroll
  for (int t = 0; t < 4; t++)
#pragma unroll
    for (int r = 0; r < 4; r++)
      if (4 * x_lane + t < tokens && w_lane + 8 * r < tile_rows)
        finish(p, first_row + w_lane + 8 * r, first_token + 4 * x_lane + t, acc[r][t]);
}
