/* RMSNorm of each head      x[i] = x[i] * rsqrt(mean(x^2) + eps) * w[i]      x: one head of one token, in place
 *
 *   qkv         [tokens, (heads + 2 kv_heads) * head_dim]  f32: query heads, key heads, value heads; values stay
 *   query, key  [head_dim]                                 f32: w of each
 *
 * one warp a head; four values at a time where head_dim % 4 == 0 and all start at 16 bytes; any head_dim and alignment is
 * correct
 * moves 8 (heads + kv_heads) head_dim bytes a token, so it is bound by memory, in a decode step by its launch; the second
 * read of a head hits L1; not measured on a GPU yet
 * grid: tokens, groups of blockDim.x / 32 heads
 * twin: ReferenceBackend.normHeads          proof: NormKernelsTest
 */
#include "common/kv_types.cuh"
#include "common/reduce.cuh"

LATHE_KERNEL(norm_heads_f32, 256,
             (float* qkv, const float* query, const float* key, int heads, int kv_heads, int head_dim, float eps)) {
  int lane = static_cast<int>(threadIdx.x) % 32;
  int head = static_cast<int>(blockIdx.y * (blockDim.x / 32) + threadIdx.x / 32);
  if (head >= heads + kv_heads) return;
  const float* w = head < heads ? query : key;
  float* x = qkv + (static_cast<int64_t>(blockIdx.x) * (heads + 2 * kv_heads) + head) * head_dim;
  float sum = 0;
  if (head_dim % 4 == 0 && is_aligned16(qkv) && is_aligned16(w)) {
    for (int i = lane; i < head_dim / 4; i += 32) {
      Four<float> four = load_four(x + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; j++) sum += four.values[j] * four.values[j];
    }
    float factor = rsqrtf(warp_sum(sum) / static_cast<float>(head_dim) + eps);
    for (int i = lane; i < head_dim / 4; i += 32) {
      Four<float> four = load_four(x + 4 * i), weight = load_four(w + 4 * i);
#pragma unroll
      for (int j = 0; j < 4; j++) four.values[j] *= factor * weight.values[j];
      store_four(x + 4 * i, four);
    }
  } else {
    for (int c = lane; c < head_dim; c += 32) sum += x[c] * x[c];
    float factor = rsqrtf(warp_sum(sum) / static_cast<float>(head_dim) + eps);
    for (int c = lane; c < head_dim; c += 32) x[c] *= factor * w[c];
  }
}
