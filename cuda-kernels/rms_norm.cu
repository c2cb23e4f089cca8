/* RMSNorm      out[r, c] = x[r, c] * rsqrt(mean(x[r, :]^2) + eps) * w[c], or added to out
 *
 *   out, x  [rows, cols]  bf16 or f32, row-major; out may be x
 *   w       [cols]        same type
 *
 * moves 2 * sizeof(T) * rows * cols bytes, so it is bound by memory: report GB/s; the second read of a row hits L1
 * fast where cols is a multiple of 16 bytes and all three start at one; any cols and alignment is correct
 * sums in fp32: bf16 loses three digits at cols = 4096
 *   rms_norm_warp_*    one warp a row, blockDim.x / 32 rows a block: short rows, or very many
 *   rms_norm_block_*   one block a row: long rows, and few of them (decode)
 *   add_rms_norm_*     out = out + RMSNorm(x), the same two ways; moves half as much again
 * blockDim.x is a multiple of 32, up to 512; the grid strides over the rows
 * twin: ReferenceBackend.rmsNorm, addRmsNorm          proof: RmsNormKernelTest, NormKernelsTest
 */
#include "common/rms.cuh"

namespace {

template <bool kPacked, bool kAdd, class T>
__device__ __forceinline__ void scale(T* out, const T* x, const T* w, float factor, int cols, int first, int stride) {
  if constexpr (kPacked) {
    Pack<T>* out_packs = reinterpret_cast<Pack<T>*>(out);
    const Pack<T>* packs = reinterpret_cast<const Pack<T>*>(x);
    const Pack<T>* weights = reinterpret_cast<const Pack<T>*>(w);
    for (int i = first; i < cols / Pack<T>::kCount; i += stride) {
      Pack<T> pack = packs[i], weight = weights[i];
#pragma unroll
      for (int j = 0; j < Pack<T>::kCount; j++)
        store(&pack.values[j], to_float(pack.values[j]) * factor * to_float(weight.values[j]));
      if constexpr (kAdd) {
        Pack<T> before = out_packs[i];
#pragma unroll
        for (int j = 0; j < Pack<T>::kCount; j++)
          store(&pack.values[j], to_float(before.values[j]) + to_float(pack.values[j]));
      }
      out_packs[i] = pack;
    }
  } else {
    for (int c = first; c < cols; c += stride) {
      float value = to_float(x[c]) * factor * to_float(w[c]);
      store(&out[c], kAdd ? to_float(out[c]) + value : value);
    }
  }
}

template <class T>
__device__ __forceinline__ bool all_packed(const T* out, const T* x, const T* w, int cols) {
  return cols % Pack<T>::kCount == 0 && is_aligned16(out) && is_aligned16(x) && is_aligned16(w);
}

template <bool kPacked, bool kAdd, class T>
__device__ __forceinline__ void warp_rows(T* out, const T* x, const T* w, int64_t rows, int cols, float eps) {
  int lane = threadIdx.x % 32, warps = blockDim.x / 32;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * warps + threadIdx.x / 32; row < rows;
       row += static_cast<int64_t>(gridDim.x) * warps) {
    const T* x_row = x + row * cols;
    float sum = warp_sum(squares<kPacked>(x_row, cols, lane, 32));
    scale<kPacked, kAdd>(out + row * cols, x_row, w, rms_factor(sum, cols, eps), cols, lane, 32);
  }
}

template <bool kPacked, bool kAdd, class T>
__device__ __forceinline__ void block_rows(T* out, const T* x, const T* w, int64_t rows, int cols, float eps) {
  int thread = threadIdx.x, threads = blockDim.x;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const T* x_row = x + row * cols;
    float sum = block_sum(squares<kPacked>(x_row, cols, thread, threads));
    scale<kPacked, kAdd>(out + row * cols, x_row, w, rms_factor(sum, cols, eps), cols, thread,
                         threads);
    __syncthreads();  // block_sum's memory is free again
  }
}

template <bool kAdd = false, class T>
__device__ __forceinline__ void rms_norm_warp(T* out, const T* x, const T* w, int64_t rows, int cols, float eps) {
  if (all_packed(out, x, w, cols))
    warp_rows<true, kAdd>(out, x, w, rows, cols, eps);
  else
    warp_rows<false, kAdd>(out, x, w, rows, cols, eps);
}

template <bool kAdd = false, class T>
__device__ __forceinline__ void rms_norm_block(T* out, const T* x, const T* w, int64_t rows, int cols, float eps) {
  if (all_packed(out, x, w, cols))
    block_rows<true, kAdd>(out, x, w, rows, cols, eps);
  else
    block_rows<false, kAdd>(out, x, w, rows, cols, eps);
}

}  // namespace

LATHE_KERNEL(rms_norm_warp_bf16, 512, (bf16* out, const bf16* x, const bf16* w, int64_t rows, int cols, float eps)) {
  rms_norm_warp(out, x, w, rows, cols, eps);
}
LATHE_KERNEL(rms_norm_warp_f32, 512, (float* out, const float* x, const float* w, int64_t rows, int cols, float eps)) {
  rms_norm_warp(out, x, w, rows, cols, eps);
}
LATHE_KERNEL(rms_norm_block_bf16, 512, (bf16* out, const bf16* x, const bf16* w, int64_t rows, int cols, float eps)) {
  rms_norm_block(out, x, w, rows, cols, eps);
}
LATHE_KERNEL(rms_norm_block_f32, 512,
             (float* out, const float* x, const float* w, int64_t rows, int cols, float eps)) {
  rms_norm_block(out, x, w, rows, cols, eps);
}
LATHE_KERNEL(add_rms_norm_warp_f32, 512,
             (float* out, const float* x, const float* w, int64_t rows, int cols, float eps)) {
  rms_norm_warp<true>(out, x, w, rows, cols, eps);
}
LATHE_KERNEL(add_rms_norm_block_f32, 512,
             (float* out, const float* x, const float* w, int64_t rows, int cols, float eps)) {
  rms_norm_block<true>(out, x, w, rows, cols, eps);
}
