/* RoPE and KV append
 *
 *   query, key:  x[i], x[i + d/2] = x[i] cos[i] - x[i + d/2] sin[i],  x[i + d/2] cos[i] + x[i] sin[i]     i < d/2
 *   queries are turned in place; keys are turned on their way into the cache, values go there as they are
 *
 *   qkv        [tokens, (heads + 2 kv_heads) * head_dim]  f32, row-major
 *   keys       [pages, kv_heads, page_size, head_dim]     f32, f16 or bf16, or INT8: common/kv_int8.cuh; values the same
 *   rotations  [positions, head_dim]                      f32: head_dim / 2 cosines, then as many sines; null: nothing is turned
 *   positions  [tokens]                                   row of rotations
 *   slots      [tokens]                                   page * page_size + row of the page; negative: of a token that
 *                                                         only fills up a batch, nothing is done
 *
 * head_dim even, or any where nothing is turned; four at a time where head_dim / 2 (nothing turned: head_dim) is a
 * multiple of 4 and all start at 16 bytes
 * moves 4 (2 heads + 2 kv_heads) head_dim bytes of qkv and 2 sizeof(T) kv_heads head_dim of the cache a token, so it is
 * bound by memory, in a decode step by its launch; not measured on a GPU yet
 * grid: a token in x, its work in y; any block size, for INT8 of whole warps
 * twin: ReferenceBackend.rotateAndAppend, append          proof: RopeKernelTest
 *
 * As INT8 a warp takes a head, and a key or value is read twice (the second time from L1): for the largest of its elements,
 * and for their codes. A key's rotation is rounded step by step there, so that both times, and on every device, it is the same.
 */
#include "common/kv_int8.cuh"
#include "common/kv_types.cuh"
#include "common/token_quantization.cuh"

namespace {

struct Heads {
  int heads, kv_heads, head_dim, page_size;
};

/** Where element 0 of a kv head of the token in `slot` lies. */
__device__ __forceinline__ int64_t cached(const Heads& shape, int slot, int kv_head) {
  int64_t page = slot / shape.page_size, row = slot % shape.page_size;
  return ((page * shape.kv_heads + kv_head) * shape.page_size + row) * shape.head_dim;
}

__device__ __forceinline__ void rotate(float* first, float* second, float cos, float sin) {
  float x = *first, y = *second;
  *first = x * cos - y * sin;
  *second = y * cos + x * sin;
}

/** Turns `kCount` pairs of a query or key head, from element i on. */
template <int kCount, class T>
__device__ __forceinline__ void turn(float* row, T* keys, const float* rotation, const Heads& shape, int slot, int head,
                                     int i) {
  int half = shape.head_dim / 2;
  float* first = row + static_cast<int64_t>(head) * shape.head_dim + i;
  float* second = first + half;
  T* key = head < shape.heads ? nullptr : keys + cached(shape, slot, head - shape.heads) + i;
  if constexpr (kCount == 4) {
    Four<float> x = load_four(first), y = load_four(second);
    Four<float> cos = load_four(rotation + i), sin = load_four(rotation + half + i);
#pragma unroll
    for (int j = 0; j < 4; j++) rotate(&x.values[j], &y.values[j], cos.values[j], sin.values[j]);
    if (key == nullptr) {
      store_four(first, x);
      store_four(second, y);
    } else {
      store_four(key, x);
      store_four(key + half, y);
    }
  } else {
    float x = *first, y = *second;
    rotate(&x, &y, rotation[i], rotation[half + i]);
    if (key == nullptr) {
      *first = x;
      *second = y;
    } else {
      key[0] = to_kv<T>(x);
      key[half] = to_kv<T>(y);
    }
  }
}

template <int kCount, class T>
__device__ __forceinline__ void copy(T* to, const float* from) {
  if constexpr (kCount == 4)
    store_four(to, load_four(from));
  else
    *to = to_kv<T>(*from);
}

template <int kCount, class T>
__device__ __forceinline__ void rotate_append_token(float* row, T* keys, T* values, const float* rotation, int slot,
                                                    const Heads& shape) {
  // Work: pairs of the query heads and key heads (keys only, and whole, where nothing is turned), then the value heads.
  int per_head = shape.head_dim / kCount;
  int turned = rotation == nullptr ? 0 : (shape.heads + shape.kv_heads) * (per_head / 2);
  int copied = shape.kv_heads * per_head;
  int total = turned + (rotation == nullptr ? 2 : 1) * copied;
  for (int w = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x); w < total;
       w += static_cast<int>(gridDim.y * blockDim.x)) {
    if (w < turned) {
      turn<kCount>(row, keys, rotation, shape, slot, w / (per_head / 2), w % (per_head / 2) * kCount);
      continue;
    }
    int c = w - turned;
    bool value = rotation != nullptr || c >= copied;
    int from = (shape.heads + (value ? shape.kv_heads : 0)) * shape.head_dim;
    c %= copied;
    copy<kCount>((value ? values : keys) + cached(shape, slot, c / per_head) + c % per_head * kCount,
                 row + from + c * kCount);
  }
}

/** A token's key or value under one head. */
struct HeadRow {
  const float* from;
  const float* rotation;  // null: it goes to the cache as it is
  int head_dim;

  /** By a warp: use(i, x) with elements i to i + kCount - 1, for all of them. */
  template <int kCount, class Use>
  __device__ __forceinline__ void each(Use use) const {
    int first = static_cast<int>(threadIdx.x) % 32 * kCount, half = head_dim / 2;
    if (rotation == nullptr) {
      for (int i = first; i < head_dim; i += 32 * kCount) use(i, load<kCount>(from + i));
      return;
    }
    for (int i = first; i < half; i += 32 * kCount) {
      Few<kCount> x = load<kCount>(from + i), y = load<kCount>(from + half + i), turned_x, turned_y;
      Few<kCount> cos = load<kCount>(rotation + i), sin = load<kCount>(rotation + half + i);
#pragma unroll
      for (int j = 0; j < kCount; j++) {
        float c = cos.values[j], s = sin.values[j];
        turned_x.values[j] = __fsub_rn(__fmul_rn(x.values[j], c), __fmul_rn(y.values[j], s));
        turned_y.values[j] = __fadd_rn(__fmul_rn(y.values[j], c), __fmul_rn(x.values[j], s));
      }
      use(i, turned_x);
      use(half + i, turned_y);
    }
  }

  template <int kCount>
  struct alignas(kCount * sizeof(float)) Few {
    float values[kCount];
  };
  template <int kCount>
  static __device__ __forceinline__ Few<kCount> load(const float* at) {
    return *reinterpret_cast<const Few<kCount>*>(at);
  }
};

/** By a warp: codes and their scale. */
template <int kCount>
__device__ __forceinline__ void quantize(int8_t* cache, const Int8Row& to, const HeadRow& row) {
  unsigned largest = 0;
  row.each<kCount>([&](int, const HeadRow::Few<kCount>& x) {
#pragma unroll
    for (int j = 0; j < kCount; j++) largest = max(largest, magnitude(x.values[j]));
  });
  Rounding rounding(__reduce_max_sync(0xffffffffu, largest));
  row.each<kCount>([&](int i, const HeadRow::Few<kCount>& x) {
    Codes<kCount> codes;
#pragma unroll
    for (int j = 0; j < kCount; j++) codes.values[j] = rounding.code(x.values[j]);
    *reinterpret_cast<Codes<kCount>*>(cache + to.codes + i) = codes;
  });
  if (threadIdx.x % 32 == 0) store_scale(cache + to.scale, rounding.scale);
}

template <int kCount>
__device__ __forceinline__ void rotate_append_int8(float* row, int8_t* keys, int8_t* values, const float* rotation, int slot,
                                                   const Heads& shape) {
  int warps = static_cast<int>(blockDim.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  int64_t page = slot / shape.page_size;
  int head = static_cast<int>(blockIdx.y) * warps + static_cast<int>(threadIdx.x) / 32;
  for (; head < shape.heads + 2 * shape.kv_heads; head += static_cast<int>(gridDim.y) * warps) {
    if (head < shape.heads) {
      for (int i = lane * kCount; rotation != nullptr && i < shape.head_dim / 2; i += 32 * kCount)
        turn<kCount>(row, static_cast<float*>(nullptr), rotation, shape, slot, head, i);
      continue;
    }
    int kv_head = head - shape.heads;
    bool value = kv_head >= shape.kv_heads;
    if (value) kv_head -= shape.kv_heads;
    quantize<kCount>(value ? values : keys,
                     Int8Row(page * shape.kv_heads + kv_head, slot % shape.page_size, shape.page_size, shape.head_dim),
                     {row + static_cast<int64_t>(head) * shape.head_dim, value ? nullptr : rotation, shape.head_dim});
  }
}

template <int kCount, class T>
__device__ __forceinline__ void rotate_append_any(float* row, T* keys, T* values, const float* rotation, int slot,
                                                  const Heads& shape) {
  if constexpr (__is_same(T, int8_t))
    rotate_append_int8<kCount>(row, keys, values, rotation, slot, shape);
  else
    rotate_append_token<kCount>(row, keys, values, rotation, slot, shape);
}

template <class T>
__device__ __forceinline__ void rotate_append(float* qkv, T* keys, T* values, const float* rotations,
                                              const int* positions, const int* slots, const Heads& shape) {
  int64_t token = blockIdx.x;
  if (slots[token] < 0) return;
  float* row = qkv + token * (shape.heads + 2 * shape.kv_heads) * shape.head_dim;
  const float* rotation =
      rotations == nullptr ? nullptr : rotations + static_cast<int64_t>(positions[token]) * shape.head_dim;
  bool packed = (rotations == nullptr ? shape.head_dim : shape.head_dim / 2) % 4 == 0 && is_aligned16(qkv) &&
                is_aligned16(keys) && is_aligned16(values) && is_aligned16(rotations);
  if (packed)
    rotate_append_any<4>(row, keys, values, rotation, slots[token], shape);
  else
    rotate_append_any<1>(row, keys, values, rotation, slots[token], shape);
}

}  // namespace

#define ROTATE_APPEND(NAME, T)                                                                             \
  LATHE_KERNEL(NAME, 256,                                                                                  \
               (float* qkv, T* keys, T* values, const float* rotations, const int* positions, const int* slots, \
                int heads, int kv_heads, int head_dim, int page_size)) {                                   \
    rotate_append(qkv, keys, values, rotations, positions, slots, {heads, kv_heads, head_dim, page_size}); \
  }
ROTATE_APPEND(rotate_append_f32, float)
ROTATE_APPEND(rotate_append_f16, f16)
ROTATE_APPEND(rotate_append_bf16, bf16)
ROTATE_APPEND(rotate_append_s8, int8_t)
