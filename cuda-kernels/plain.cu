/* The operations of a decoder, plainly: what there is no better kernel for runs here.
 *
 * For any shape, format and alignment; right, not fast: weights are read an element at a time, each by one thread, and a
 * bitmap's rank is counted again for each element.
 *
 *   weights  [rows, cols]   kind 0 f32, 1 bf16, 2 f16, 3 int8; 4 more for a bitmap of these
 *   scales   [rows, groups] f32 (0) or bf16 (1), of int8; zeros the same shape int8, or null
 *   x, out   f32 matrices; rows of plain_linear's may be strided, the others' are contiguous
 *
 * plain_linear: one thread an output, the sum in fp32 in the order of the columns; norms: one warp a row
 * proof: CudaConformanceTest, against ReferenceBackend      not measured on a GPU: it is the fallback
 */
#include <cuda_fp16.h>

#include "common/numeric.cuh"
#include "common/reduce.cuh"

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

/** SiLU (0), GELU by tanh (1) and by the error function (2). */
__device__ __forceinline__ float activated(float x, int activation) {
  if (activation == 0) return x / (1 + expf(-x));
  if (activation == 1) return 0.5f * x * (1 + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
  return 0.5f * x * (1 + erff(x * 0.7071067811865476f));
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

/** The table is one of a stack: its first row is the stack's `first`, and other tokens are other tables'. */
LATHE_KERNEL(plain_embed, 1024, (float* out, const int* tokens, int64_t count, int64_t first, int add, PlainWeight w)) {
  for (int64_t i = first_index(); i < count * w.cols; i += index_step()) {
    int64_t row = tokens[i / w.cols] - first;
    if (row < 0 || row >= w.rows) continue;
    float value = weight_at(w, row, static_cast<int>(i % w.cols));
    out[i] = add ? out[i] + value : value;
  }
}

LATHE_KERNEL(plain_scale, 1024, (float* x, float factor, int64_t count)) {
  for (int64_t i = first_index(); i < count; i += index_step()) x[i] *= factor;
}

LATHE_KERNEL(plain_soft_cap, 1024, (float* x, float cap, int64_t count)) {
  for (int64_t i = first_index(); i < count; i += index_step()) x[i] = cap * tanhf(x[i] / cap);
}

/** RMSNorm, added to `out` where `add`; with a bias, LayerNorm. A block is one warp. */
LATHE_KERNEL(plain_norm, 32,
             (float* out, const float* x, const float* w, const float* bias, int64_t rows, int cols, float eps,
              int add)) {
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* from = x + row * cols;
    float* to = out + row * cols;
    float mean = 0;
    if (bias != nullptr) {
      for (int c = threadIdx.x; c < cols; c += 32) mean += from[c];
      mean = warp_sum(mean) / static_cast<float>(cols);
    }
    float squares = 0;
    for (int c = threadIdx.x; c < cols; c += 32) squares += (from[c] - mean) * (from[c] - mean);
    float factor = 1 / sqrtf(warp_sum(squares) / static_cast<float>(cols) + eps);
    for (int c = threadIdx.x; c < cols; c += 32) {
      float normed = (from[c] - mean) * factor * w[c];
      if (bias != nullptr) normed += bias[c];
      to[c] = add ? to[c] + normed : normed;
    }
  }
}

/** Each head of the queries and of the keys by itself, in place. A block is one warp. */
LATHE_KERNEL(plain_norm_heads, 32,
             (float* qkv, const float* query, const float* key, int64_t tokens, int heads, int kv_heads, int head_dim,
              float eps)) {
  int normed = heads + kv_heads;
  for (int64_t i = blockIdx.x; i < tokens * normed; i += gridDim.x) {
    int64_t token = i / normed;
    int head = static_cast<int>(i % normed);
    float* at = qkv + (token * (heads + 2 * kv_heads) + head) * head_dim;
    const float* w = head < heads ? query : key;
    float squares = 0;
    for (int c = threadIdx.x; c < head_dim; c += 32) squares += at[c] * at[c];
    float factor = 1 / sqrtf(warp_sum(squares) / static_cast<float>(head_dim) + eps);
    for (int c = threadIdx.x; c < head_dim; c += 32) at[c] = at[c] * factor * w[c];
  }
}

LATHE_KERNEL(plain_activate, 1024, (float* out, const float* x, int64_t rows, int64_t cols, int gated, int activation)) {
  for (int64_t i = first_index(); i < rows * cols; i += index_step()) {
    int64_t at = gated ? i / cols * 2 * cols + i % cols : i;
    float value = activated(x[at], activation);
    out[i] = gated ? value * x[at + cols] : value;
  }
}

LATHE_KERNEL(plain_gather_rows, 1024, (float* out, const float* x, const int* rows, int64_t count, int64_t cols)) {
  for (int64_t i = first_index(); i < count * cols; i += index_step()) out[i] = x[rows[i / cols] * cols + i % cols];
}
