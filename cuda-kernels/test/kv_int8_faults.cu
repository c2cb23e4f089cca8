/* An INT8 cache written and read with one mistake, on purpose: what the comparison with the reference must catch.
 *
 * Only g++ compiles it. RopeKernelTest and Int8PagedAttentionTest expect `defect` 0 to pass and each other one to be found. Plain:
 * a thread does by itself what others share.
 */
#include "../common/paged.cuh"
#include "../common/token_quantization.cuh"

namespace {

enum AppendDefect {
  kTruncated = 1,
  kHalfOfTheRow,
  kNotTurned,
  kScaleOfTheNextRow,
  kScaleOfTheKey,
  kNotANumberIgnored,
  kNoLeastStep,
  kStepsOf128
};
enum ReadDefect { kKeyScaleBefore = 1, kValueScaleBefore, kScalesSwapped, kOneValueScale, kUnsigned, kCodesBefore };

/** Element i of a token's key or value, keys turned. */
__device__ float element(const float* row, const float* rotation, int i, int head_dim) {
  if (rotation == nullptr) return row[i];
  int half = head_dim / 2, pair = i % half;
  float x = row[pair], y = row[half + pair], cos = rotation[pair], sin = rotation[half + pair];
  return i < half ? x * cos - y * sin : y * cos + x * sin;
}

__device__ Rounding rounding_of(const float* row, const float* rotation, int head_dim, int defect) {
  unsigned largest = 0;
  for (int i = 0; i < (defect == kHalfOfTheRow ? (head_dim + 1) / 2 : head_dim); i++) {
    unsigned bits = magnitude(element(row, defect == kNotTurned ? nullptr : rotation, i, head_dim));
    if (defect != kNotANumberIgnored || bits < 0x7f800000u) largest = max(largest, bits);
  }
  return Rounding(largest);
}

}  // namespace

/** Tokens in x, kv heads in y: keys, then values. */
LATHE_KERNEL(append_int8_with_defect, 1,
             (const float* qkv, int8_t* keys, int8_t* values, const float* rotations, const int* positions,
              const int* slots, int heads, int kv_heads, int head_dim, int page_size, int defect)) {
  int64_t token = blockIdx.x;
  bool value = static_cast<int>(blockIdx.y) >= kv_heads;
  int kv_head = static_cast<int>(blockIdx.y) % kv_heads;
  const float* row = qkv + (token * (heads + 2 * kv_heads) + heads + static_cast<int>(blockIdx.y)) * head_dim;
  const float* key = qkv + (token * (heads + 2 * kv_heads) + heads + kv_head) * head_dim;
  const float* turned = rotations == nullptr ? nullptr : rotations + static_cast<int64_t>(positions[token]) * head_dim;
  const float* rotation = value ? nullptr : turned;
  Rounding rounding = defect == kScaleOfTheKey ? rounding_of(key, turned, head_dim, 0)
                                               : rounding_of(row, rotation, head_dim, defect);
  int page = slots[token] / page_size, line = slots[token] % page_size;
  Int8Row to(static_cast<int64_t>(page) * kv_heads + kv_head, line, page_size, head_dim);
  int8_t* cache = value ? values : keys;
  for (int i = 0; i < head_dim; i++) {
    float x = element(row, rotation, i, head_dim);
    if (!(fabsf(x) <= 3.4e38f) && defect == kNotANumberIgnored) x = 0;
    float scaled = x * rounding.inverse * (defect == kStepsOf128 ? 128.0f / 127.0f : 1.0f);
    if (defect == kNoLeastStep && rounding.finite && fabsf(x) < 1e-30f && x != 0) scaled = x > 0 ? 127 : -127;
    int code = defect == kTruncated ? static_cast<int>(scaled) : __float2int_rn(scaled);
    cache[to.codes + i] = rounding.finite ? static_cast<int8_t>(smaller(127, code)) : int8_t{0};
  }
  int64_t at = to.scale;
  if (defect == kScaleOfTheNextRow) at += ((line + 1) % page_size - line) * kScaleBytes;
  store_scale(cache + at, rounding.scale);
}

/** A thread a row, each column by itself. */
LATHE_KERNEL(int8_attention_with_defect, 128,
             (PAGED_ATTENTION_TENSORS(int8_t), PAGED_ATTENTION_SIZES, float*, float*, int*, int, int, int defect)) {
  AttentionShape shape = PAGED_ATTENTION_SHAPE;
  Tile tile = find_tile(PAGED_ATTENTION_BATCH, shape, static_cast<int>(blockIdx.x), 32, {least_new, most_new});
  int row = static_cast<int>(threadIdx.x), kv_head = static_cast<int>(blockIdx.y);
  if (tile.index < 0 || row >= tile.rows) return;
  const float* query = query_row(qkv, shape, tile, kv_head, row);
  auto code_of = [&](int8_t code) { return static_cast<float>(defect == kUnsigned ? static_cast<uint8_t>(code) : code); };
  for (int c = 0; c < head_dim; c++) {
    float largest = -INFINITY, sum = 0, total = 0;
    for (int key = tile.first_key(row, window); key < tile.visible(row); key++) {
      Int8Row at = cached_int8_key(shape, tile, kv_head, key);
      Int8Row before = cached_int8_key(shape, tile, kv_head, key % page_size > 0 ? key - 1 : key);
      float key_scale = load_scale(keys + (defect == kKeyScaleBefore ? before : at).scale);
      float value_scale = load_scale(values + (defect == kValueScaleBefore ? before : at).scale);
      if (defect == kOneValueScale) value_scale = 1.0f / 64;
      float dot = 0;
      for (int i = 0; i < head_dim; i++) dot += query[i] * code_of(keys[(defect == kCodesBefore ? before : at).codes + i]);
      float score = capped(dot * (defect == kScalesSwapped ? value_scale : key_scale) * scale, soft_cap);
      float now = fmaxf(largest, score), factor = expf(largest - now), p = expf(score - now);
      total = total * factor + p;
      sum = sum * factor + p * (defect == kScalesSwapped ? key_scale : value_scale) * code_of(values[at.codes + c]);
      largest = now;
    }
    out_row(out, shape, tile, kv_head, row)[c] = sum / total;
  }
}
