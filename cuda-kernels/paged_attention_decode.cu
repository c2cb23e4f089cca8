/* Attention of few new tokens over paged keys and values (decode), on tensor cores
 *
 *   out[t, h, :] = sum over k of softmax_k(cap(scale * q[t, h, :] . key[k, :])) * value[k, :]
 *
 *   shapes, rows, tiles, partials: common/paged.cuh; keys and values f16 or bf16, head_dim a multiple of 16 up to 256
 *   (a kernel each for up to 64, 128 and 256), qkv, keys and values 16-byte aligned; any page_size
 *
 * The group's query heads are the 16 rows of mma.sync m16n8k16, so that keys and values are read once for all of them;
 * where there are fewer, the rest of the tensor core's work is wasted, which costs nothing: 2 sizeof(T) head_dim bytes a
 * key and kv head have to come from memory, and that takes longer. So queries and probabilities go in two parts
 * (common/score_tiles.cuh), and the result is as good as fp32's on f16 keys and values.
 * A block of 4 warps has a tile, a kv head and one of `splits` parts of its keys, each warp a pipeline of its own of `stages`
 * through cp.async and no barrier with the others, until all put their sums together (common/decode.cuh). The last of the
 * blocks puts the parts together (common/combine.cuh).
 * needs 256 stages (dims + 8) bytes of shared memory, for 256 dims 64 (dims + 8) more; rows padded by 16 bytes: ldmatrix
 * and cp.async have no bank conflicts. In flight: 8 KB a warp and stage at 128 dims
 * bound by memory: report GB/s; not measured on a GPU yet
 * grid: tiles, kv_heads, splits           twin: ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/decode.cuh"

namespace {

constexpr int kThreads = 32 * kDecodeWarps;
constexpr int kParts = 2;
constexpr unsigned kAll = 0xffffffffu;

/** Brings a warp's keys and values, step by step, into its part of shared memory. */
template <class T, int kDims>
struct Loader : WarpSteps {
  static constexpr int kStride = kDims + 8;
  static constexpr int kLanesOfRow = kDims / 8;  // 16 bytes each
  static constexpr int kRowsAtOnce = 32 / kLanesOfRow;

  const T *keys, *values;
  T* stages;
  int kv_head;

  __device__ __forceinline__ T* stage(int index) const { return stages + index * 2 * kStepKeys * kStride; }

  /** Columns behind head_dim stay zero. */
  __device__ __forceinline__ void clear(int count) const {
    for (int i = static_cast<int>(threadIdx.x) % 32; i < count * 2 * kStepKeys; i += 32)
      for (int c = shape.head_dim; c < kDims; c++) stages[i * kStride + c] = to_kv<T>(0);
  }

  __device__ __forceinline__ void issue(int step, T* to) {
    int lane = threadIdx.x % 32;
    if (step < steps) {
      int page = this->page(step);
      int key = this->key(step), column = lane % kLanesOfRow * 8;
      int64_t first = one_page ? cached_row(shape, page, kv_head, key % shape.page_size) : 0;
#pragma unroll
      for (int i = 0; i < kStepKeys / kRowsAtOnce; i++) {
        int row = i * kRowsAtOnce + lane / kLanesOfRow;
        bool there = key + row >= tile.key_begin && key + row < tile.key_end;
        int64_t from = 0;
        if (there)
          from = (one_page ? first + static_cast<int64_t>(row) * shape.head_dim
                           : cached_key(shape, tile, kv_head, key + row)) +
                 column;
        if (column < shape.head_dim) {
          cp_async_16(to + row * kStride + column, keys + from, there);
          cp_async_16(to + (kStepKeys + row) * kStride + column, values + from, there);
        }
      }
    }
    cp_async_commit();  // also of nothing: groups are counted
  }
};

template <class T, int kDims>
__device__ __forceinline__ void attend(float* out, const float* qkv, const T* keys, const T* values,
                                       const AttentionShape& shape, const AttentionBatch& batch, NewTokens taken,
                                       const Partials& partials, int stages) {
  LATHE_DYNAMIC_SHARED(T, dynamic);
  constexpr int kStride = Loader<T, kDims>::kStride, kSteps = kDims / 16;
  constexpr bool kQueriesInRegisters = kDims <= 128;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, kv_head = blockIdx.y, split = blockIdx.z;
  Tile tile = find_tile(batch, shape, blockIdx.x, kDecodeRows, taken);
  if (tile.index < 0) return;
  int used = used_splits(tile, partials.splits, partials.keys_per_split);
  if (split >= used) return;
  // Steps of 16 keys are counted from the sequence's start, so that none reaches over a page that is a multiple of 16.
  int begin = tile.key_begin / kStepKeys, count = (tile.key_end + kStepKeys - 1) / kStepKeys - begin;
  int first = begin + part_begin(count, used, split), end = begin + part_begin(count, used, split + 1);

  int all_from = tile.first_key(tile.rows - 1, shape.window), all_until = tile.visible(0);
  Loader<T, kDims> loader = {
      {shape, tile, first, end}, keys, values, dynamic + warp * stages * 2 * kStepKeys * kStride, kv_head};
  loader.clear(stages);
  loader.read_pages();
  __syncwarp();
  for (int s = 0; s < stages; s++) loader.issue(s, loader.stage(s));

  LaneRows rows(qkv, shape, tile, kv_head, 0);
  Fragment<kParts> queries[kQueriesInRegisters ? kSteps : 1];
  T* shared_queries = dynamic + kDecodeWarps * stages * 2 * kStepKeys * kStride;
  if constexpr (kQueriesInRegisters) {
#pragma unroll
    for (int k = 0; k < kSteps; k++) queries[k] = rows.query<T, kParts>(k, shape.head_dim);
  } else {
    for (int k = warp; k < kSteps; k += kDecodeWarps) {
      Fragment<kParts> query = rows.query<T, kParts>(k, shape.head_dim);
#pragma unroll
      for (int p = 0; p < kParts; p++)
#pragma unroll
        for (int i = 0; i < 4; i++)
          *reinterpret_cast<uint32_t*>(shared_queries + (p * kDecodeRows + lane / 4 + i % 2 * 8) * kStride + 16 * k +
                                       i / 2 * 8 + 2 * (lane % 4)) = query.registers[p][i];
    }
    __syncthreads();
  }

  float sums[kDims / 8][4] = {};
  int stage = 0;
  for (int step = 0; step < loader.steps; step++) {
    wait_for_all_but(stages - 1);
    __syncwarp();  // all lanes' copies are there
    const T* tile_keys = loader.stage(stage);
    float scores[2][4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; k++) {
      if constexpr (kQueriesInRegisters) {
        multiply_keys(scores[0], scores[1], queries[k], tile_keys, kStride, 16 * k);
      } else {
        Fragment<kParts> query;
#pragma unroll
        for (int p = 0; p < kParts; p++)
          ldmatrix_x4(query.registers[p], shared_queries + (p * kDecodeRows + lane % 16) * kStride + 16 * k + lane / 16 * 8);
        multiply_keys(scores[0], scores[1], query, tile_keys, kStride, 16 * k);
      }
    }
    int key = loader.key(step);
    float factor[2];
    rows.probabilities<T>(scores, factor, key, key >= all_from && key + kStepKeys <= all_until);
    if (__any_sync(kAll, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
      for (int n = 0; n < kDims / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sums[n][i] *= factor[i / 2];
    }
    Fragment<kParts> probabilities;
#pragma unroll
    for (int i = 0; i < 4; i++) probabilities.set<T>(i, scores[i / 2][i % 2 * 2], scores[i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int n = 0; n < kDims / 8; n += 2)
      multiply_values(sums[n], sums[n + 1], probabilities, tile_keys + kStepKeys * kStride, kStride, 8 * n);
    __syncwarp();  // all lanes are done with this stage
    loader.issue(step + stages, loader.stage(stage));
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
  finish<kDims>(out, reinterpret_cast<float*>(dynamic), rows, shape, tile, partials, kv_head, split, used,
                kProbabilityExponent<T>, [&](int i, float* to) {
#pragma unroll
                  for (int n = 0; n < kDims / 8; n++) {
                    float2 pair = {sums[n][2 * i], sums[n][2 * i + 1]};
                    *reinterpret_cast<float2*>(to + 8 * n + 2 * (lane % 4)) = pair;
                  }
                });
}

}  // namespace

#define PAGED_ATTENTION(NAME, T, DIMS)                                                                                \
  LATHE_KERNEL(NAME, kThreads, (PAGED_ATTENTION_TENSORS(T), PAGED_ATTENTION_SIZES, float* partial_sums,              \
                                float* partial_stats, int* arrived, int splits, int keys_per_split, int stages)) {   \
    attend<T, DIMS>(out, qkv, keys, values, PAGED_ATTENTION_SHAPE, PAGED_ATTENTION_BATCH, {least_new, most_new},      \
                    {partial_sums, partial_stats, arrived, splits, keys_per_split}, stages);                         \
  }
PAGED_ATTENTION(paged_attention_decode_f16_64, f16, 64)
PAGED_ATTENTION(paged_attention_decode_f16_128, f16, 128)
PAGED_ATTENTION(paged_attention_decode_f16_256, f16, 256)
PAGED_ATTENTION(paged_attention_decode_bf16_64, bf16, 64)
PAGED_ATTENTION(paged_attention_decode_bf16_128, bf16, 128)
PAGED_ATTENTION(paged_attention_decode_bf16_256, bf16, 256)
