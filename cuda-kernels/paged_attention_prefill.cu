/* Attention of many new tokens over paged keys and values (prefill), on tensor cores
 *
 *   out[t, h, :] = sum over k of softmax_k(cap(scale * q[t, h, :] . key[k, :])) * value[k, :]
 *
 *   shapes, rows and tiles: common/paged.cuh; keys and values f16 or bf16, head_dim a multiple of 16 up to 256
 *   (a kernel each for up to 64, 128 and 256), qkv, keys and values 16-byte aligned; any page_size
 *
 * A block of 4 warps has a tile of 64 rows, 16 a warp, and goes through the keys that they see, 64 at a time (32 where
 * dims times parts is above 128, 16 above 256), in two stages through cp.async (FlashAttention-2: Dao 2023, arXiv 2307.08691). The heads of a group
 * lie in one tile, so keys are read once for all of them. A warp leaves out keys that none of its rows sees, and compares
 * positions only where some of its rows don't see all.
 * Queries and probabilities: bf16 in one part, that is rounded; f16 in two parts (common/score_tiles.cuh), because f16
 * caches are for models that compute in fp32 too. That doubles the products.
 * needs 8 (dims + 8) times keys at a time bytes of shared memory; where dims times parts is above 128, 128 parts (dims + 8)
 * more for the queries
 * 4 rows keys head_dim parts FLOP: bound by the tensor cores; not measured on a GPU yet
 * grid: tiles, kv_heads           twin: ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/prefill.cuh"

namespace {

constexpr int kThreads = 32 * kPrefillWarps;

template <class T>
constexpr int kParts = 1;
template <>
constexpr int kParts<f16> = 2;

/** Starts copying a step's keys and values, the latter behind the former; those that nobody sees become zero. */
template <class T, int kDims, int kKeys>
__device__ __forceinline__ void issue(T* to, const T* keys, const T* values, const int64_t* offsets, int there,
                                      int head_dim) {
  constexpr int kLanesOfRow = kDims / 8, kRowsAtOnce = kThreads / kLanesOfRow, kStride = kDims + 8;
  int column = static_cast<int>(threadIdx.x) % kLanesOfRow * 8;
#pragma unroll
  for (int i = 0; i < kKeys / kRowsAtOnce; i++) {
    int row = i * kRowsAtOnce + static_cast<int>(threadIdx.x) / kLanesOfRow;
    int64_t from = row < there ? offsets[row] + column : 0;
    if (column < head_dim && there > 0) {
      cp_async_16(to + row * kStride + column, keys + from, row < there);
      cp_async_16(to + (kKeys + row) * kStride + column, values + from, row < there);
    }
  }
  cp_async_commit();  // also of nothing: groups are counted
}

template <class T, int kDims>
__device__ __forceinline__ void attend(float* out, const float* qkv, const T* keys, const T* values,
                                       const AttentionShape& shape, const AttentionBatch& batch, NewTokens taken) {
  LATHE_DYNAMIC_SHARED(T, dynamic);
  constexpr int kKeys = kKeysAtATime<kParts<T>, kDims>, kStride = kDims + 8, kStage = 2 * kKeys * kStride;
  LATHE_SHARED(int64_t, offsets, [2][kKeys]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, kv_head = blockIdx.y;
  // The last tiles of a prompt see the most keys: they go first, so that none is left alone at the end.
  Tile tile = find_tile(batch, shape, static_cast<int>(gridDim.x - 1 - blockIdx.x), kPrefillRows, taken);
  if (tile.index < 0) return;

  for (int row = threadIdx.x; row < 4 * kKeys; row += kThreads)
    for (int c = shape.head_dim; c < kDims; c++) dynamic[row * kStride + c] = to_kv<T>(0);
  int steps = (tile.key_end - tile.key_begin + kKeys - 1) / kKeys;
  auto offset_of = [&](int step, int row) -> int64_t {
    int key = tile.key_begin + step * kKeys + row;
    return key < tile.key_end ? cached_key(shape, tile, kv_head, key) : 0;
  };
  auto there = [&](int step) { return tile.key_end - tile.key_begin - step * kKeys; };
  for (int i = threadIdx.x; i < 2 * kKeys; i += kThreads) offsets[i / kKeys][i % kKeys] = offset_of(i / kKeys, i % kKeys);
  __syncthreads();
  for (int s = 0; s < 2; s++)
    issue<T, kDims, kKeys>(dynamic + s * kStage, keys, values, offsets[s], there(s), shape.head_dim);

  LaneRows rows(qkv, shape, tile, kv_head, 16 * warp);
  Fragment<kParts<T>> queries[kQueriesInRegisters<kParts<T>, kDims> ? kDims / 16 : 1];
  T* shared_queries = dynamic + 2 * kStage + warp * kParts<T> * 16 * kStride;
#pragma unroll
  for (int k = 0; k < kDims / 16; k++) {
    if constexpr (kQueriesInRegisters<kParts<T>, kDims>) {
      queries[k] = rows.query<T, kParts<T>>(k, shape.head_dim);
    } else {
      Fragment<kParts<T>> query = rows.query<T, kParts<T>>(k, shape.head_dim);
#pragma unroll
      for (int p = 0; p < kParts<T>; p++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          *reinterpret_cast<uint32_t*>(shared_queries + (p * 16 + lane / 4 + i % 2 * 8) * kStride + 16 * k + i / 2 * 8 +
                                       2 * (lane % 4)) = query.registers[p][i];
    }
  }
  // What the warp's rows see: all of them, and any of them.
  int first_row = 16 * warp, last_row = smaller(first_row + 15, tile.rows - 1);
  bool idle = first_row >= tile.rows;
  int all_from = tile.first_key(last_row, shape.window), all_until = tile.visible(first_row);
  int any_from = tile.first_key(first_row, shape.window), any_until = tile.visible(last_row);

  float sums[kDims / 8][4] = {};
  for (int s = 0; s < steps; s++) {
    cp_async_wait<1>();
    int64_t ahead = threadIdx.x < kKeys ? offset_of(s + 2, threadIdx.x) : 0;
    __syncthreads();  // all threads' copies are there
    int key = tile.key_begin + s * kKeys;
    if (!idle && key < any_until && key + kKeys > any_from)
      step<T, kParts<T>, kDims, kKeys>(rows, sums, queries, shared_queries, dynamic + s % 2 * kStage, key,
                                       key >= all_from && key + kKeys <= all_until, Unscaled());
    if (threadIdx.x < kKeys) offsets[s % 2][threadIdx.x] = ahead;
    __syncthreads();  // all are done with this stage
    issue<T, kDims, kKeys>(dynamic + s % 2 * kStage, keys, values, offsets[s % 2], there(s + 2), shape.head_dim);
  }

  rows.add_up_totals();
#pragma unroll
  for (int i = 0; i < 2; i++) {
    int row = first_row + lane / 4 + 8 * i;
    if (row >= tile.rows) break;
    float* to = out_row(out, shape, tile, kv_head, row) + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < kDims / 8; n++) {
      if (8 * n >= shape.head_dim) break;
      float2 pair = {sums[n][2 * i] / rows.total[i], sums[n][2 * i + 1] / rows.total[i]};
      *reinterpret_cast<float2*>(to + 8 * n) = pair;
    }
  }
}

}  // namespace

#define PAGED_ATTENTION(NAME, T, DIMS)                                                                                 \
  LATHE_KERNEL(NAME, kThreads, (PAGED_ATTENTION_TENSORS(T), PAGED_ATTENTION_SIZES)) {                                 \
    attend<T, DIMS>(out, qkv, keys, values, PAGED_ATTENTION_SHAPE, PAGED_ATTENTION_BATCH, {least_new, most_new});      \
  }
PAGED_ATTENTION(paged_attention_prefill_f16_64, f16, 64)
PAGED_ATTENTION(paged_attention_prefill_f16_128, f16, 128)
PAGED_ATTENTION(paged_attention_prefill_f16_256, f16, 256)
PAGED_ATTENTION(paged_attention_prefill_bf16_64, bf16, 64)
PAGED_ATTENTION(paged_attention_prefill_bf16_128, bf16, 128)
PAGED_ATTENTION(paged_attention_prefill_bf16_256, bf16, 256)
