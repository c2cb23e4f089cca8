/* What stands around a product by cuBLAS: its inputs in the weight's type, its bias in the output.
 *
 *   convert_rows_{bf16,f16}   out[r, c] = x[r, c], rounded to nearest even
 *       x    [rows, cols]  f32, rows `x_stride` elements apart
 *       out  [rows, cols]  contiguous
 *   split_rows_bf16           out[r, c] = x[r, c] as bf16, out[rows + r, c] = what it leaves of x[r, c], as bf16
 *       out  [2 rows, cols]  contiguous
 *   add_parts                 out[r, c] = parts[r, c] + parts[rows + r, c] + bias[c], or out[r, c] += that where `add`
 *       parts [2 rows, cols]  f32, contiguous;  bias [cols], or null
 *   bias_rows                 out[r, c] = bias[c], or out[r, c] += bias[c] where `add`
 *       out  [rows, cols]  f32, rows `out_stride` elements apart
 *
 * 4 columns a thread, as one load where rows start at multiples of 16 bytes; any cols and alignment is correct
 * bound by memory: 6 bytes an element, 4 to 8 with a bias; small beside the product
 * proof: CublasGemmTest      not measured on a GPU yet
 */
#include <cuda_fp16.h>

#include "common/numeric.cuh"

namespace {

__device__ __forceinline__ void round_to(bf16* to, float x) { *to = __float2bfloat16_rn(x); }
__device__ __forceinline__ void round_to(__half* to, float x) { *to = __float2half_rn(x); }
__device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }

/** kParts 2: what rounding leaves, rounded too, in as many rows behind the others. */
template <int kParts, class T>
__device__ __forceinline__ void convert_rows(T* out, const float* x, int64_t rows, int cols, int64_t x_stride) {
  struct alignas(4 * sizeof(T)) Four {
    T values[4];
  };
  int groups = (cols + 3) / 4;
  bool whole = cols % 4 == 0 && x_stride % 4 == 0 && is_aligned16(x) && is_aligned16(out);
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * groups;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    int64_t row = i / groups;
    int first = static_cast<int>(i % groups) * 4;
    const float* from = x + row * x_stride + first;
    T* to = out + row * cols + first;
    if (whole) {
      Pack<float> loaded = *reinterpret_cast<const Pack<float>*>(from);
      Four rounded;
#pragma unroll
      for (int part = 0; part < kParts; part++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
          if (part > 0) loaded.values[j] -= widen(rounded.values[j]);
          round_to(&rounded.values[j], loaded.values[j]);
        }
        *reinterpret_cast<Four*>(to + part * rows * cols) = rounded;
      }
    } else {
      for (int j = 0; j < 4 && first + j < cols; j++) {
        round_to(&to[j], from[j]);
        if (kParts == 2) round_to(&to[rows * cols + j], from[j] - widen(to[j]));
      }
    }
  }
}

}  // namespace

LATHE_KERNEL(convert_rows_bf16, 256, (bf16* out, const float* x, int64_t rows, int cols, int64_t x_stride)) {
  convert_rows<1>(out, x, rows, cols, x_stride);
}
LATHE_KERNEL(convert_rows_f16, 256, (__half* out, const float* x, int64_t rows, int cols, int64_t x_stride)) {
  convert_rows<1>(out, x, rows, cols, x_stride);
}

LATHE_KERNEL(split_rows_bf16, 256, (bf16* out, const float* x, int64_t rows, int cols, int64_t x_stride)) {
  convert_rows<2>(out, x, rows, cols, x_stride);
}

LATHE_KERNEL(add_parts, 256,
             (float* out, const float* parts, const float* bias, int64_t rows, int cols, int64_t out_stride, int add)) {
  int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x), step = static_cast<int>(gridDim.x * blockDim.x);
  for (int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const float *values = parts + row * cols, *rest = values + rows * cols;
    float* to = out + row * out_stride;
    for (int c = first; c < cols; c += step) {
      float sum = values[c] + rest[c];
      if (bias != nullptr) sum += bias[c];
      to[c] = add ? to[c] + sum : sum;
    }
  }
}

LATHE_KERNEL(bias_rows, 256, (float* out, const float* bias, int64_t rows, int cols, int64_t out_stride, int add)) {
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * cols;
       i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
    int64_t row = i / cols;
    int column = static_cast<int>(i % cols);
    float* to = out + row * out_stride + column;
    *to = add ? *to + bias[column] : bias[column];
  }
}
