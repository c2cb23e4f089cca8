/* Quantize      scale[r] = max|x[r, :]| / 127 (1 for a row of zeros),  q[r, c] = round-half-even(x[r, c] / scale[r])
 * Dequantize    y[r, c] = q[r, c] * scale[r]
 *
 *   x  [rows, cols] f32    q  [rows, cols] s8    scale [rows] f32    y [rows, cols] f32, bf16 or f16; all row-major
 *
 * a row that holds a NaN or an infinity gets that scale, so what is multiplied by it shows it
 * one block a row, which it reads twice (the second time from L1 or L2); the grid strides over the rows. Moves
 * 5 * rows * cols bytes (dequantize: 1 + sizeof(T)): bound by memory, or by the launch at few rows
 * not measured on a GPU yet
 * proof: GemmW8A8Test, equal to Java's rounding
 */
#include "common/kv_types.cuh"

LATHE_KERNEL(quantize_rows_s8, 256, (int8_t * q, float* scale, const float* x, int64_t rows, int cols)) {
  LATHE_SHARED(unsigned, warp_largest, [32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* x_row = x + row * cols;
    unsigned largest = 0;  // magnitudes order as their bits do, and a NaN comes last
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
      unsigned bits = __float_as_uint(x_row[c]) & 0x7fffffffu;
      largest = bits > largest ? bits : largest;
    }
    largest = __reduce_max_sync(0xffffffffu, largest);
    if (lane == 0) warp_largest[warp] = largest;
    __syncthreads();
    largest = __reduce_max_sync(0xffffffffu, lane < warps ? warp_largest[lane] : 0u);
    float unit = largest == 0 ? 1.0f : __fdiv_rn(__uint_as_float(largest), 127.0f);
    if (unit == 0) unit = __uint_as_float(1);  // of the smallest subnormals a 127th is nothing
    for (int c = threadIdx.x; c < cols; c += blockDim.x) {
      int value = __float2int_rn(__fdiv_rn(x_row[c], unit));
      q[row * cols + c] = static_cast<int8_t>(value < -127 ? -127 : value > 127 ? 127 : value);
    }
    if (threadIdx.x == 0) scale[row] = unit;
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
