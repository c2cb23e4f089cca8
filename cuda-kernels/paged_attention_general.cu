/* Attention over paged keys and values, of any shape
 *
 *   out[t, h, :] = sum over k of softmax_k(cap(scale * q[t, h, :] . key[k, :])) * value[k, :]
 *
 *   shapes, rows and tiles: common/paged.cuh; keys and values f32, f16, bf16 or INT8, any head_dim and page_size
 *
 * For F32 keys and values, and for what the tensor-core kernels don't take. All arithmetic in fp32 on CUDA cores; the softmax
 * is computed online (Milakov and Gimelshein 2018, arXiv 1805.02867). INT8 keys and values are codes times scale, rounded to
 * fp32, from shared memory on.
 *   paged_attention_few_*   tiles of 8 rows: decode     paged_attention_many_*   tiles of 32 rows: prefill
 * A block of 128 threads takes a tile and a kv head, and of its keys one of `splits` parts: tile_keys at a time through
 * shared memory, as fp32. Scores: a lane a key, a warp every fourth row. Sums: a thread four columns of four rows.
 * needs tile_keys of 1 to 32, at most keys_per_split, and with columns = head_dim rounded up to a multiple of 4
 * 4 (128 + 2 rows columns + 35 (rows + 4) + 2 tile_keys (columns + 4)) bytes of shared memory, 4 rows (splits + 1) at least;
 * INT8 has 512 bytes of its own besides, for scales
 * the last of the blocks that share keys puts their parts together (common/combine.cuh)
 * reads 2 sizeof(T) kv_heads head_dim bytes a key, of INT8 2 kv_heads (head_dim + 4), once a tile: decode is bound by memory, prefill by shared memory; not
 * measured on a GPU yet
 * grid: tiles, kv_heads, splits           twin: ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/combine.cuh"

namespace {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

/** Shared memory of a block; columns are head_dim rounded up to four, those that are too many are zero. */
template <int kRows>
struct Memory {
  static constexpr int kStride = kRows + 4;  // of probabilities

  int64_t* offsets;      // [2, 32] where keys of this step and the next lie
  float* queries;        // [rows, columns]
  float* sums;           // [rows, columns]
  float* probabilities;  // [32, rows + 4]
  float* factors;        // [rows + 4] what a step's new largest score turns earlier sums into
  float* stats;          // [rows + 4, 2] the largest score so far, and the sum of exp(score - largest)
  float* keys;           // [tile_keys, columns + 4]
  float* values;

  __device__ __forceinline__ Memory(float* memory, int columns, int tile_keys) {
    offsets = reinterpret_cast<int64_t*>(memory);
    queries = memory + 128;
    sums = queries + kRows * columns;
    probabilities = sums + kRows * columns;
    factors = probabilities + 32 * kStride;
    stats = factors + kStride;
    keys = stats + 2 * kStride;
    values = keys + tile_keys * (columns + 4);
  }
};

template <class T>
constexpr bool kIsInt8 = __is_same(T, int8_t);

/** Of INT8: what a code of a step's keys and values is worth. */
struct Scales {
  float keys[32], values[32];
};

template <class T>
__device__ __forceinline__ float element(T x, float scale) {
  if constexpr (kIsInt8<T>)
    return __fmul_rn(static_cast<float>(x), scale);
  else
    return kv_to_float(x);
}

/** By a warp: where the 32 keys from `key` - lane on lie, those before `end`, and their scales. */
template <class T>
__device__ __forceinline__ void locate(int64_t* offsets, Scales* scales, const T* keys, const T* values,
                                       const AttentionShape& shape, const Tile& tile, int kv_head, int key, int end) {
  int lane = threadIdx.x % 32;
  if constexpr (kIsInt8<T>) {
    offsets[lane] = 0;
    if (key >= end) return;
    Int8Row row = cached_int8_key(shape, tile, kv_head, key);
    offsets[lane] = row.codes;
    scales->keys[lane] = load_scale(keys + row.scale);
    scales->values[lane] = load_scale(values + row.scale);
  } else {
    offsets[lane] = key < end ? cached_key(shape, tile, kv_head, key) : 0;
  }
}

template <class T>
__device__ __forceinline__ void load_scalars(float* to_keys, float* to_values, const T* keys, const T* values,
                                             int64_t from, bool there, int head_dim, int column, float key_scale,
                                             float value_scale) {
  for (int j = column; j < column + 4; j++) {
    bool inside = there && j < head_dim;
    to_keys[j] = inside ? element(keys[from + j], key_scale) : 0.0f;
    to_values[j] = inside ? element(values[from + j], value_scale) : 0.0f;
  }
}

template <class T>
__device__ __forceinline__ void load_pack(float* to_keys, float* to_values, const T* keys, const T* values, int64_t from,
                                          bool there, int column, float key_scale, float value_scale) {
  Pack<T> key = {}, value = {};
  if (there) {
    key = *reinterpret_cast<const Pack<T>*>(keys + from + column);
    value = *reinterpret_cast<const Pack<T>*>(values + from + column);
  }
#pragma unroll
  for (int j = 0; j < Pack<T>::kCount; j += 4) {
    Four<float> k, v;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      k.values[i] = element(key.values[j + i], key_scale);
      v.values[i] = element(value.values[j + i], value_scale);
    }
    store_four(to_keys + column + j, k);
    store_four(to_values + column + j, v);
  }
}

/** tile_keys keys and values from `first` on; those outside of the split's become zero. */
template <class T>
__device__ __forceinline__ void load_keys(float* to_keys, float* to_values, const T* keys, const T* values,
                                          const int64_t* offsets, const Scales* scales, int tile_keys, int there,
                                          int head_dim, int columns, bool packed) {
  int count = packed ? Pack<T>::kCount : 4, packs = columns / count;
  for (int i = threadIdx.x; i < tile_keys * packs; i += kThreads) {
    int key = i / packs, column = i % packs * count, row = key * (columns + 4);
    float key_scale = 0, value_scale = 0;
    if constexpr (kIsInt8<T>) {
      if (key < there) {
        key_scale = scales->keys[key];
        value_scale = scales->values[key];
      }
    }
    if (packed)
      load_pack(to_keys + row, to_values + row, keys, values, offsets[key], key < there, column, key_scale, value_scale);
    else
      load_scalars(to_keys + row, to_values + row, keys, values, offsets[key], key < there, head_dim, column, key_scale,
                   value_scale);
  }
}

__device__ __forceinline__ float dot(const float* a, const float* b, int columns) {
  float sum = 0;
  for (int c = 0; c < columns; c += 4) {
    Four<float> x = load_four(a + c), y = load_four(b + c);
#pragma unroll
    for (int j = 0; j < 4; j++) sum += x.values[j] * y.values[j];
  }
  return sum;
}

/** sums = sums * factor + probabilities * values, four columns of four rows a thread. */
template <int kRows>
__device__ __forceinline__ void add_values(const Memory<kRows>& memory, int rows, int columns, int tile_keys) {
  int packs = columns / 4;
  for (int i = threadIdx.x; i < kRows / 4 * packs; i += kThreads) {
    int row = i / packs * 4, column = i % packs * 4;
    if (row >= rows) break;
    Four<float> sums[4], factors = load_four(memory.factors + row);
#pragma unroll
    for (int r = 0; r < 4; r++) {
      sums[r] = load_four(memory.sums + (row + r) * columns + column);
#pragma unroll
      for (int j = 0; j < 4; j++) sums[r].values[j] *= factors.values[r];
    }
#pragma unroll 2
    for (int key = 0; key < tile_keys; key++) {
      Four<float> p = load_four(memory.probabilities + key * Memory<kRows>::kStride + row);
      Four<float> value = load_four(memory.values + key * (columns + 4) + column);
#pragma unroll
      for (int r = 0; r < 4; r++)
#pragma unroll
        for (int j = 0; j < 4; j++) sums[r].values[j] += p.values[r] * value.values[j];
    }
#pragma unroll
    for (int r = 0; r < 4; r++) store_four(memory.sums + (row + r) * columns + column, sums[r]);
  }
}

template <int kRows, class T>
__device__ __forceinline__ void attend(float* out, const float* qkv, const T* keys, const T* values,
                                       const AttentionShape& shape, const AttentionBatch& batch, NewTokens taken,
                                       const Partials& partials, int tile_keys) {
  LATHE_DYNAMIC_SHARED(float, dynamic);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, kv_head = blockIdx.y, split = blockIdx.z;
  int columns = (shape.head_dim + 3) / 4 * 4;
  Memory<kRows> memory(dynamic, columns, tile_keys);
  Tile tile = find_tile(batch, shape, blockIdx.x, kRows, taken);
  if (tile.index < 0) return;
  int used = used_splits(tile, partials.splits, partials.keys_per_split);
  if (split >= used) return;
  int steps = (tile.key_end - tile.key_begin + tile_keys - 1) / tile_keys;
  int begin = tile.key_begin + part_begin(steps, used, split) * tile_keys;
  int end = smaller(tile.key_end, tile.key_begin + part_begin(steps, used, split + 1) * tile_keys);
  // A page's rows of INT8 start at 16 bytes where its scales end there.
  bool packed = shape.head_dim % Pack<T>::kCount == 0 && (!kIsInt8<T> || shape.page_size % 4 == 0) && is_aligned16(keys) &&
                is_aligned16(values);
  Scales* scales = nullptr;  // [2] of this step and the next
  if constexpr (kIsInt8<T>) {
    LATHE_SHARED(Scales, of_steps, [2]);
    scales = of_steps;
  }

  for (int i = threadIdx.x; i < kRows * columns; i += kThreads) {
    int row = i / columns, column = i % columns;
    bool inside = row < tile.rows && column < shape.head_dim;
    memory.queries[i] = inside ? query_row(qkv, shape, tile, kv_head, row)[column] : 0.0f;
    memory.sums[i] = 0;
  }
  if (threadIdx.x < Memory<kRows>::kStride) {
    memory.factors[threadIdx.x] = 0;
    memory.stats[2 * threadIdx.x] = -INFINITY;
    memory.stats[2 * threadIdx.x + 1] = 0;
  }
  for (int i = threadIdx.x; i < 32 * Memory<kRows>::kStride; i += kThreads) memory.probabilities[i] = 0;
  if (threadIdx.x < 32) locate(memory.offsets, scales, keys, values, shape, tile, kv_head, begin + lane, end);

  int stage = 0;
  for (int first = begin; first < end; first += tile_keys, stage ^= 1) {
    __syncthreads();  // offsets are there, and what the last step read may be overwritten
    load_keys(memory.keys, memory.values, keys, values, memory.offsets + 32 * stage, scales + stage, tile_keys, end - first,
              shape.head_dim, columns, packed);
    int ahead = first + tile_keys + lane, next = stage ^ 1;
    if (warp == 0)
      locate(memory.offsets + 32 * next, scales + next, keys, values, shape, tile, kv_head, ahead, end);
    __syncthreads();
    int key = first + lane;
    for (int row = warp; row < tile.rows; row += kWarps) {
      bool seen = lane < tile_keys && key < end && key < tile.visible(row) && key >= tile.first_key(row, shape.window);
      float score = -INFINITY;
      if (seen)
        score = capped(
            dot(memory.queries + row * columns, memory.keys + lane * (columns + 4), columns) * shape.scale,
            shape.soft_cap);
      float before = memory.stats[2 * row], total = memory.stats[2 * row + 1];
      float largest = fmaxf(before, warp_max(score));
      float base = largest == -INFINITY ? 0.0f : largest;  // nothing seen yet: no -inf - -inf
      float p = seen ? expf(score - base) : 0.0f;
      float factor = expf(before - base);
      total = total * factor + warp_sum(p);
      memory.probabilities[lane * Memory<kRows>::kStride + row] = p;
      __syncwarp();  // all lanes have read the row's numbers
      if (lane == 0) {
        memory.factors[row] = factor;
        memory.stats[2 * row] = largest;
        memory.stats[2 * row + 1] = total;
      }
    }
    __syncthreads();
    add_values(memory, tile.rows, columns, tile_keys);
  }
  __syncthreads();

  for (int row = warp; row < tile.rows; row += kWarps) {
    float largest = memory.stats[2 * row], total = memory.stats[2 * row + 1];
    int64_t at = partials.row(shape, tile, kv_head, split, kRows, row);
    float* to = used == 1 ? out_row(out, shape, tile, kv_head, row) : partials.sums + at * shape.head_dim;
    float divisor = used == 1 ? total : 1.0f;
    for (int c = lane; c < shape.head_dim; c += 32) to[c] = memory.sums[row * columns + c] / divisor;
    if (used > 1 && lane == 0) {
      partials.stats[2 * at] = largest;
      partials.stats[2 * at + 1] = total;
    }
  }
  if (used > 1 && partials.arrived != nullptr)
    combine_if_last(out, dynamic, shape, tile, partials, kv_head, used, kRows);
}

}  // namespace

#define PAGED_ATTENTION(NAME, ROWS, T)                                                                                \
  LATHE_KERNEL(NAME, kThreads, (PAGED_ATTENTION_TENSORS(T), PAGED_ATTENTION_SIZES, float* partial_sums,              \
                                float* partial_stats, int* arrived, int splits, int keys_per_split,                  \
                                int tile_keys)) {                                                                    \
    attend<ROWS>(out, qkv, keys, values, PAGED_ATTENTION_SHAPE, PAGED_ATTENTION_BATCH, {least_new, most_new},         \
                 {partial_sums, partial_stats, arrived, splits, keys_per_split}, tile_keys);                         \
  }
PAGED_ATTENTION(paged_attention_few_f32, 8, float)
PAGED_ATTENTION(paged_attention_few_f16, 8, f16)
PAGED_ATTENTION(paged_attention_few_bf16, 8, bf16)
PAGED_ATTENTION(paged_attention_few_s8, 8, int8_t)
PAGED_ATTENTION(paged_attention_many_f32, 32, float)
PAGED_ATTENTION(paged_attention_many_f16, 32, f16)
PAGED_ATTENTION(paged_attention_many_bf16, 32, bf16)
PAGED_ATTENTION(paged_attention_many_s8, 32, int8_t)
