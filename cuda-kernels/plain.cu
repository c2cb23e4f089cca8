/* Linear layers, plainly: what there is no better kernel for runs here.
 *
 * For any shape, format and alignment; right, not fast: weights are read an element at a time, each by one thread, and a
 * bitmap's rank is counted again for each element.
 *
 *   weights  [rows, cols]   kind 0 f32, 1 bf16, 2 f16, 3 int8; 4 more for a bitmap of these
 *   scales   [rows, groups] f32 (0) or bf16 (1), of int8; zeros the same shape int8, or null
 *   x, out   f32 matrices, rows may be strided
 *
 * one thread an output, the sum in fp32 in the order of the columns
 * proof: CudaConformanceTest, against ReferenceBackend      not measured on a GPU: it is the fallback
 */
#include <cuda_fp16.h>

#include "common/numeric.cuh"

namespace {

struct PlainWeight {
  const void* values;
  const void* scales;
  const signed char* zeros;
  const unsigned char* bitmap;
  const int64_t* offsets;
  int kind, scale_kind, groups, group_size;
  int64_t rows;
  int cols;
};

__device__ __forceinline__ float read_float(const void* values, int kind, int64_t at) {
  if (kind == 0) return static_cast<const float*>(values)[at];
  if (kind == 1) return __bfloat162float(static_cast<const bf16*>(values)[at]);
  return __half2float(static_cast<const __half*>(values)[at]);
}

/** Bits that are set among the first `count` of a row of a bitmap. */
__device__ __forceinline__ int rank_of(const unsigned char* bits, int count) {
  int rank = 0;
  for (int byte = 0; byte < count / 8; byte++) rank += __popc(bits[byte]);
  return count % 8 == 0 ? rank : rank + __popc(bits[count / 8] & ((1u << count % 8) - 1));
}

__device__ __forceinline__ float weight_at(const PlainWeight& w, int64_t row, int col) {
  int64_t at = row * w.cols + col;
  int group = col / w.group_size;
  if (w.kind >= 4) {
    const unsigned char* bits = w.bitmap + row * ((w.cols + 7) / 8);
    if ((bits[col / 8] >> col % 8 & 1) == 0) return 0;
    at = w.offsets[row] + rank_of(bits, col);
    group = 0;
  }
  if (w.kind % 4 != 3) return read_float(w.values, w.kind % 4, at);
  int64_t scale = row * w.groups + group;
  float value = static_cast<const signed char*>(w.values)[at];
  if (w.zeros != nullptr) value -= static_cast<float>(w.zeros[scale]);
  return value * read_float(w.scales, w.scale_kind, scale);
}

__device__ __forceinline__ int64_t first_index() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t index_step() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace

LATHE_KERNEL(plain_linear, 1024,
             (float* out, int64_t out_stride, const float* x, int64_t x_stride, int64_t tokens, const float* bias,
              int add, PlainWeight w)) {
  for (int64_t i = first_index(); i < tokens * w.rows; i += index_step()) {
    int64_t token = i / w.rows, row = i % w.rows;
    float sum = 0;
    for (int c = 0; c < w.cols; c++) sum += x[token * x_stride + c] * weight_at(w, row, c);
    if (bias != nullptr) sum += bias[row];
    float* to = out + token * out_stride + row;
    *to = add ? *to + sum : sum;
  }
}
