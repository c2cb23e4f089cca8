/* Kernels that go through rows, with one mistake, on purpose: what the comparison with the reference must catch.
 *
 * Only g++ compiles them. EmbeddingKernelTest, NormKernelsTest, ActivationKernelTest and GatherRowsKernelTest expect
 * `defect` 0 to pass and each other one to be found. Plain: a thread counts by itself what others share.
 */
#include "../common/kv_types.cuh"
#include "../common/reduce.cuh"

namespace {

enum BitmapDefect { kRankAtZero = 1, kCountsItself, kEarlyRank, kBitsReversed, kRowBefore };
enum Int8Defect { kScaleOfChannel = 1, kNoZeroPoint, kZeroAfterScale, kLastGroupOfNext };
enum NormDefect { kLastColumnMissing = 1, kEpsilonOutside, kNotCentred, kOneLess, kNotAdded, kBiasScaled };
enum HeadsDefect { kValuesToo = 1, kQueryWeightForKeys, kLastKeyMissing, kWholeRow };
enum GateDefect { kSwapped = 1, kWrongHalf, kTanhForErf, kErfForTanh, kCubeMissing, kCancels };

__device__ float bit_of(const uint8_t* bits, int c) { return static_cast<float>(bits[c / 8] >> (c % 8) & 1); }

}  // namespace

LATHE_KERNEL(bitmap_embedding_with_defect, 128,
             (float* out, const int* tokens, int add, const uint8_t* bitmap, const int64_t* offsets,
              const float* values, int cols, int defect)) {
  int64_t row = tokens[blockIdx.x];
  int bytes = (cols + 7) / 8;
  const uint8_t* bits = bitmap + row * bytes;
  int64_t first = offsets[defect == kRowBefore && row > 0 ? row - 1 : row], kept = offsets[row + 1] - offsets[row];
  if (defect == kRowBefore && row > 0 && offsets[row] - first < kept) first = offsets[row];
  int thread = static_cast<int>(threadIdx.x);
  for (int c = thread; c < cols; c += static_cast<int>(blockDim.x)) {
    // Ranks are counted from the column on from which the defect lets them begin.
    int from = defect == kRankAtZero ? c / 1024 * 1024 : 0;
    int64_t rank = 0;
    for (int b = from / 8; b < c / 8; b++) rank += __popc(bits[b]);
    int below = defect == kEarlyRank ? 0 : c % 8;
    for (int i = c - c % 8; i < c - c % 8 + below; i++) rank += static_cast<int64_t>(bit_of(bits, i));
    int reversed = c - c % 8 + 7 - c % 8;
    bool is_kept = bit_of(bits, defect == kBitsReversed && reversed < cols ? reversed : c) != 0;
    if (defect == kCountsItself && rank + 1 < kept) rank++;
    float x = is_kept && rank < kept ? values[first + rank] : 0.0f;
    float* to = out + static_cast<int64_t>(blockIdx.x) * cols + c;
    *to = add ? *to + x : x;
  }
}

LATHE_KERNEL(int8_embedding_with_defect, 128,
             (float* out, const int* tokens, int add, const int8_t* values, const bf16* scales, const int8_t* zeros,
              int groups, int group_size, int cols, int defect)) {
  int64_t row = tokens[blockIdx.x];
  for (int c = static_cast<int>(threadIdx.x); c < cols; c += static_cast<int>(blockDim.x)) {
    int group = c / group_size;
    if (defect == kLastGroupOfNext && c % group_size == group_size - 1 && group + 1 < groups) group++;
    int64_t at = row * groups + group;
    float scale = __bfloat162float(scales[defect == kScaleOfChannel ? row * groups : at]);
    float q = static_cast<float>(values[row * cols + c]), zero = static_cast<float>(zeros[at]);
    float x = defect == kNoZeroPoint ? q * scale : defect == kZeroAfterScale ? q * scale - zero : (q - zero) * scale;
    float* to = out + static_cast<int64_t>(blockIdx.x) * cols + c;
    *to = add ? *to + x : x;
  }
}

/** A warp a row: kind 0 RMSNorm, 1 added to out, 2 LayerNorm. */
LATHE_KERNEL(norm_with_defect, 32,
             (float* out, const float* x, const float* w, const float* b, int cols, float eps, int kind, int defect)) {
  const float* row = x + static_cast<int64_t>(blockIdx.x) * cols;
  float* to = out + static_cast<int64_t>(blockIdx.x) * cols;
  int lane = static_cast<int>(threadIdx.x), summed = cols - (defect == kLastColumnMissing);
  float n = static_cast<float>(cols), mean = 0, sum = 0;
  if (kind == 2) {
    for (int c = lane; c < summed; c += 32) mean += row[c];
    mean = warp_sum(mean) / n;
  }
  for (int c = lane; c < summed; c += 32) {
    float centred = defect == kNotCentred ? row[c] : row[c] - mean;
    sum += centred * centred;
  }
  float variance = warp_sum(sum) / (defect == kOneLess ? n - 1 : n);
  if (defect == kNotCentred) variance = fmaxf(variance - mean * mean, 0.0f);
  float factor = defect == kEpsilonOutside ? 1 / (sqrtf(variance) + eps) : 1 / sqrtf(variance + eps);
  for (int c = lane; c < cols; c += 32) {
    float value = (row[c] - mean) * factor * w[c];
    if (kind == 2) value = defect == kBiasScaled ? value + b[c] * factor : value + b[c];
    to[c] = kind == 1 && defect != kNotAdded ? to[c] + value : value;
  }
}

LATHE_KERNEL(norm_heads_with_defect, 32,
             (float* qkv, const float* query, const float* key, int heads, int kv_heads, int head_dim, float eps,
              int defect)) {
  int head = static_cast<int>(blockIdx.y), lane = static_cast<int>(threadIdx.x);
  if (head >= heads + kv_heads * (defect == kValuesToo ? 2 : 1) - (defect == kLastKeyMissing)) return;
  float* row = qkv + static_cast<int64_t>(blockIdx.x) * (heads + 2 * kv_heads) * head_dim;
  float* x = row + head * head_dim;
  const float* w = head < heads + (defect == kQueryWeightForKeys) ? query : key;
  float sum = 0;
  for (int c = lane; c < head_dim; c += 32) sum += x[c] * x[c];
  float mean = warp_sum(sum) / static_cast<float>(defect == kWholeRow ? heads * head_dim : head_dim);
  float factor = 1 / sqrtf(mean + eps);
  for (int c = lane; c < head_dim; c += 32) x[c] *= factor * w[c];
}

/** activation: 0 SiLU, 1 GELU by tanh, 2 GELU by erf. */
LATHE_KERNEL(gate_with_defect, 128, (float* out, const float* x, int n, int activation, int defect)) {
  const float* row = x + static_cast<int64_t>(blockIdx.x) * 2 * n;
  for (int c = static_cast<int>(threadIdx.x); c < n; c += static_cast<int>(blockDim.x)) {
    float g = row[c], u = row[defect == kWrongHalf ? c : n + c];
    if (defect == kSwapped) {
      float other = g;
      g = u;
      u = other;
    }
    int kind = defect == kTanhForErf && activation == 2   ? 1
               : defect == kErfForTanh && activation == 1 ? 2
                                                          : activation;
    float y = 0.797884561f * (g + (defect == kCubeMissing ? 0.0f : 0.044715f * g * g * g));
    float activated = kind == 0   ? g / (1 + expf(-g))
                      : kind == 1 ? 0.5f * g * (1 + tanhf(y))
                                  : 0.5f * g * erfcf(-0.707106781f * g);
    if (defect == kCancels && kind == 0) activated = g - g / (1 + expf(g));
    out[static_cast<int64_t>(blockIdx.x) * n + c] = activated * u;
  }
}

/** defect 1: the last column stays; 2: the row after. */
LATHE_KERNEL(gather_rows_with_defect, 128,
             (float* out, const float* x, const int* rows, int x_rows, int cols, int defect)) {
  int64_t row = rows[blockIdx.x];
  if (defect == 2) row = (row + 1) % x_rows;
  for (int c = static_cast<int>(threadIdx.x); c < cols - (defect == 1); c += static_cast<int>(blockDim.x))
    out[static_cast<int64_t>(blockIdx.x) * cols + c] = x[row * cols + c];
}
