/* Quantize      scale[r] = largest / 127,  q[r, c] = round-half-even(x[r, c] * (127 / largest)),
 *               largest = max(max|x[r, :]|, 1e-30)
 * Dequantize    y[r, c] = q[r, c] * scale[r]
 *
 *   x  [rows, cols] f32, rows x_stride apart      q  [rows, cols] s8      scale [rows] f32
 *   y  [rows, cols] f32, bf16 or f16              all row-major
 *
 * to the bit what ActivationFormat.INT8 says, so that a product is the same on every backend. A row that holds a NaN or an
 * infinity gets the scale NaN and codes of 0, so what is multiplied by it is NaN
 * one block a row, which it reads twice (the second time from L1 or L2); the grid strides over the rows. Moves
 * 5 * rows * cols bytes (dequantize: 1 + sizeof(T)): bound by memory, or by the launch at few rows. Four columns at a time
 * where cols and x_stride are multiples of 4 and x starts at 16 bytes; any others are correct
 * not measured on a GPU yet
 * twin: TokenQuantization           proof: GemmW8A8Test, equal to it
 */
#include "common/kv_types.cuh"
#include "common/token_quantization.cuh"

LATHE_KERNEL(quantize_rows_s8, 256,
             (int8_t * q, float* scale, const float* x, int64_t x_stride, int64_t rows, int cols)) {
  LATHE_SHARED(unsigned, warp_largest, [32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  // q's rows start at multiples of 4 then, since q does.
  int packs = cols % 4 == 0 && x_stride % 4 == 0 && is_aligned16(x) ? cols / 4 : 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* x_row = x + row * x_stride;
    const Pack<float>* x_packs = reinterpret_cast<const Pack<float>*>(x_row);
    int8_t* q_row = q + row * cols;
    unsigned largest = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
      Pack<float> pack = x_packs[i];
#pragma unroll
      for (int j = 0; j < 4; j++) largest = max(largest, magnitude(pack.values[j]));
    }
    for (int c = 4 * packs + threadIdx.x; c < cols; c += blockDim.x) largest = max(largest, magnitude(x_row[c]));
    largest = __reduce_max_sync(0xffffffffu, largest);
    if (lane == 0) warp_largest[warp] = largest;
    __syncthreads();
    Rounding rounding(__reduce_max_sync(0xffffffffu, lane < warps ? warp_largest[lane] : 0u));
#pragma unroll 4
    for (int i = threadIdx.x; i < packs; i += blockDim.x) {
      Pack<float> pack = x_packs[i];
      Codes<4> codes;
#pragma unroll
      for (int j = 0; j < 4; j++) codes.values[j] = rounding.code(pack.values[j]);
      reinterpret_cast<Codes<4>*>(q_row)[i] = codes;
    }
    for (int c = 4 * packs + threadIdx.x; c < cols; c += blockDim.x) q_row[c] = rounding.code(x_row[c]);
    if (threadIdx.x == 0) scale[row] = rounding.scale;
    __syncthreads();  // warp_largest is free again
  }
}

namespace {

template <class T>
__device__ __forceinline__ void dequantize(T* y, const int8_t* q, const float* scale, int64_t rows, int cols) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    float unit = scale[row];
    for (int c = threadIdx.x; c < cols; c += blockDim.x)
      y[row * cols + c] = to_kv<T>(__fmul_rn(__int2float_rn(q[row * cols + c]), unit));
  }
}

}  // namespace

LATHE_KERNEL(dequantize_rows_f32, 256, (float* y, const int8_t* q, const float* scale, int64_t rows, int cols)) {
  dequantize(y, q, scale, rows, cols);
}
LATHE_KERNEL(dequantize_rows_bf16, 256, (bf16 * y, const int8_t* q, const float* scale, int64_t rows, int cols)) {
  dequantize(y, q, scale, rows, cols);
}
LATHE_KERNEL(dequantize_rows_f16, 256, (f16 * y, const int8_t* q, const float* scale, int64_t rows, int cols)) {
  dequantize(y, q, scale, rows, cols);
}
