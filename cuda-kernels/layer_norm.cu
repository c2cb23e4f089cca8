/* LayerNorm      out[r, c] = (x[r, c] - mean(x[r, :])) * rsqrt(variance(x[r, :]) + eps) * w[c] + b[c]
 *
 *   out, x  [rows, cols]  f32, row-major; out may be x
 *   w, b    [cols]        f32
 *
 * the variance is the mean of (x - mean)^2, in a pass of its own: mean(x^2) - mean^2 loses all digits where rows are far from 0
 * moves 8 * rows * cols bytes, so it is bound by memory: report GB/s; the second and third read of a row hit L1; not measured
 * on a GPU yet
 * fast where cols is a multiple of 4 and all start at 16 bytes; any cols and alignment is correct
 *   layer_norm_warp_f32     one warp a row, blockDim.x / 32 rows a block: short rows
 *   layer_norm_block_f32    one block a row: long rows, and few of them (decode)
 * blockDim.x is a multiple of 32, up to 512; the grid strides over the rows
 * twin: ReferenceBackend.layerNorm          proof: NormKernelsTest
 */
#include "common/kv_types.cuh"
#include "common/reduce.cuh"

namespace {

/** This thread's part of the sum of term(x) over a row. */
template <bool kFours, class Term>
__device__ __forceinline__ float sum_of(const float* x, int cols, int first, int stride, Term term) {
  float sum = 0;
  if constexpr (kFours) {
#pragma unroll 2
    for (int i = first; i < cols / 4; i += stride) {
      Four<float> four = load_four(x + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; j++) sum += term(four.values[j]);
    }
  } else {
#pragma unroll 2
    for (int c = first; c < cols; c += stride) sum += term(x[c]);
  }
  return sum;
}

template <bool kFours>
__device__ __forceinline__ void finish(float* out, const float* x, const float* w, const float* b, float mean,
                                       float factor, int cols, int first, int stride) {
  if constexpr (kFours) {
#pragma unroll 1  // more would spill registers
    for (int i = first; i < cols / 4; i += stride) {
      Four<float> four = load_four(x + 4 * i), weight = load_four(w + 4 * i), bias = load_four(b + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; j++)
        four.values[j] = (four.values[j] - mean) * factor * weight.values[j] + bias.values[j];
      store_four(out + 4 * i, four);
    }
  } else {
#pragma unroll 1
    for (int c = first; c < cols; c += stride) out[c] = (x[c] - mean) * factor * w[c] + b[c];
  }
}

__device__ __forceinline__ bool all_by_fours(const float* out, const float* x, const float* w, const float* b,
                                             int cols) {
  return cols % 4 == 0 && is_aligned16(out) && is_aligned16(x) && is_aligned16(w) && is_aligned16(b);
}

template <bool kFours>
__device__ __forceinline__ void warp_rows(float* out, const float* x, const float* w, const float* b, int64_t rows,
                                          int cols, float eps) {
  int lane = static_cast<int>(threadIdx.x) % 32, warps = static_cast<int>(blockDim.x) / 32;
  float n = static_cast<float>(cols);
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32; row < rows;
       row += static_cast<int64_t>(gridDim.x) * warps) {
    const float* x_row = x + row * cols;
    float mean = warp_sum(sum_of<kFours>(x_row, cols, lane, 32, [](float value) { return value; })) / n;
    float squares = warp_sum(
        sum_of<kFours>(x_row, cols, lane, 32, [=](float value) { return (value - mean) * (value - mean); }));
    finish<kFours>(out + row * cols, x_row, w, b, mean, rsqrtf(squares / n + eps), cols, lane, 32);
  }
}

template <bool kFours>
__device__ __forceinline__ void block_rows(float* out, const float* x, const float* w, const float* b, int64_t rows,
                                           int cols, float eps) {
  int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  float n = static_cast<float>(cols);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* x_row = x + row * cols;
    float mean = block_sum(sum_of<kFours>(x_row, cols, thread, threads, [](float value) { return value; })) / n;
    __syncthreads();  // block_sum's memory is free again
    float squares = block_sum(
        sum_of<kFours>(x_row, cols, thread, threads, [=](float value) { return (value - mean) * (value - mean); }));
    finish<kFours>(out + row * cols, x_row, w, b, mean, rsqrtf(squares / n + eps), cols, thread, threads);
    __syncthreads();
  }
}

}  // namespace

LATHE_KERNEL(layer_norm_warp_f32, 512,
             (float* out, const float* x, const float* w, const float* b, int64_t rows, int cols, float eps)) {
  if (all_by_fours(out, x, w, b, cols))
    warp_rows<true>(out, x, w, b, rows, cols, eps);
  else
    warp_rows<false>(out, x, w, b, rows, cols, eps);
}

LATHE_KERNEL(layer_norm_block_f32, 512,
             (float* out, const float* x, const float* w, const float* b, int64_t rows, int cols, float eps)) {
  if (all_by_fours(out, x, w, b, cols))
    block_rows<true>(out, x, w, b, rows, cols, eps);
  else
    block_rows<false>(out, x, w, b, rows, cols, eps);
}
