/* Attention of few new tokens over paged INT8 keys and values (decode), on tensor cores
 *
 *   out[t, h, :] = sum over k of softmax_k(cap(scale * q[t, h, :] . key[k, :])) * value[k, :]
 *
 *   shapes, rows, tiles, partials: common/paged.cuh; keys and values: common/kv_int8.cuh; head_dim a multiple of 16 up to 256
 *   (a kernel each for up to 64, 128 and 256), page_size a multiple of 4; qkv, keys and values 16-byte aligned
 *
 * paged_attention_decode.cu with half its bytes: 2 (head_dim + 4) a key and kv head have to come from memory. Codes go through
 * shared memory as they are and become f16 in registers; queries and probabilities are f16 in one part (common/int8_tiles.cuh):
 * 11 bits beside codes of 8, where a second part would double the products.
 * needs stages (128 (dims + 16) + 512) bytes of shared memory, for 256 dims 8192 more, and 256 (dims + 4) at least; rows padded
 * by 16 bytes: ldmatrix and cp.async have no bank conflicts. In flight: 4 KB a warp and stage at 128 dims
 * bound by memory: report GB/s; not measured on a GPU yet
 * grid: tiles, kv_heads, splits           twin: ReferenceBackend.attention          proof: Int8PagedAttentionTest
 */
#include "common/decode.cuh"
#include "common/int8_tiles.cuh"

namespace {

constexpr int kThreads = 32 * kDecodeWarps;
constexpr unsigned kAll = 0xffffffffu;

/** Brings a warp's keys and values, step by step, into its part of shared memory: codes of 16 keys and 16 values, scales. */
template <int kDims>
struct Loader : WarpSteps {
  static constexpr int kStride = kDims + 16;
  static constexpr int kLanesOfRow = kDims / 16;  // 16 bytes each
  static constexpr int kRowsAtOnce = 32 / kLanesOfRow;
  static constexpr int kCodes = 2 * kStepKeys * kStride;
  static constexpr int kStageBytes = kCodes + 2 * kStepKeys * kScaleBytes;

  const int8_t *keys, *values;
  int8_t* stages;
  int kv_head;

  __device__ __forceinline__ int8_t* stage(int index) const { return stages + index * kStageBytes; }

  /** Columns behind head_dim stay zero. */
  __device__ __forceinline__ void clear(int count) const {
    for (int i = static_cast<int>(threadIdx.x) % 32; i < count * 2 * kStepKeys; i += 32)
      for (int c = shape.head_dim; c < kDims; c += 16)
        *reinterpret_cast<uint4*>(stage(i / (2 * kStepKeys)) + i % (2 * kStepKeys) * kStride + c) = {0, 0, 0, 0};
  }

  __device__ __forceinline__ bool there(int key) const { return key >= tile.key_begin && key < tile.key_end; }

  __device__ __forceinline__ void issue(int step, int8_t* to) {
    int lane = threadIdx.x % 32;
    if (step < steps) {
      int page = this->page(step);
      int key = this->key(step), column = lane % kLanesOfRow * 16;
      Int8Row first = cached_int8_row(shape, page, kv_head, one_page ? key % shape.page_size : 0);
#pragma unroll
      for (int i = 0; i < kStepKeys / kRowsAtOnce; i++) {
        int row = i * kRowsAtOnce + lane / kLanesOfRow;
        int64_t from = 0;
        if (there(key + row))
          from = (one_page ? first.codes + static_cast<int64_t>(row) * shape.head_dim
                           : cached_int8_key(shape, tile, kv_head, key + row).codes) +
                 column;
        if (column < shape.head_dim) {
          cp_async_16(to + row * kStride + column, keys + from, there(key + row));
          cp_async_16(to + (kStepKeys + row) * kStride + column, values + from, there(key + row));
        }
      }
      int row = lane % kStepKeys;
      int64_t from = 0;
      if (there(key + row))
        from = one_page ? first.scale + row * kScaleBytes : cached_int8_key(shape, tile, kv_head, key + row).scale;
      cp_async_4(to + kCodes + lane * kScaleBytes, (lane < kStepKeys ? keys : values) + from, there(key + row));
    }
    cp_async_commit();  // also of nothing: groups are counted
  }

  /** Of the keys of a block of 8 of a stage that a lane has columns of. */
  static __device__ __forceinline__ PairScales scales(const int8_t* stage, int block) {
    const float2* pairs = reinterpret_cast<const float2*>(stage + kCodes) + 4 * block + threadIdx.x % 4;
    return {pairs[0], pairs[kStepKeys / 2]};
  }
};

template <int kDims>
__device__ __forceinline__ void attend(float* out, const float* qkv, const int8_t* keys, const int8_t* values,
                                       const AttentionShape& shape, const AttentionBatch& batch, NewTokens taken,
                                       const Partials& partials, int stages) {
  LATHE_DYNAMIC_SHARED(int8_t, dynamic);
  constexpr int kStride = Loader<kDims>::kStride, kSteps = kDims / 16, kStageBytes = Loader<kDims>::kStageBytes;
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
  Loader<kDims> loader = {{shape, tile, first, end}, keys, values, dynamic + warp * stages * kStageBytes, kv_head};
  loader.clear(stages);
  loader.read_pages();
  __syncwarp();
  for (int s = 0; s < stages; s++) loader.issue(s, loader.stage(s));

  LaneRows rows(qkv, shape, tile, kv_head, 0);
  Fragment<1> queries[kQueriesInRegisters ? kSteps : 1];
  // [steps of 16 columns, lanes], as lanes hold them
  uint4* shared_queries = reinterpret_cast<uint4*>(dynamic + kDecodeWarps * stages * kStageBytes);
  if constexpr (kQueriesInRegisters) {
#pragma unroll
    for (int k = 0; k < kSteps; k++) queries[k] = code_query(rows, k, shape.head_dim);
  } else {
    for (int k = warp; k < kSteps; k += kDecodeWarps)
      shared_queries[32 * k + lane] = __builtin_bit_cast(uint4, code_query(rows, k, shape.head_dim));
    __syncthreads();
  }
  auto query = [&](int k) {
    if constexpr (kQueriesInRegisters)
      return queries[k];
    else
      return __builtin_bit_cast(Fragment<1>, shared_queries[32 * k + lane]);
  };

  float sums[kDims / 8][4] = {};
  ValueUnit unit;
  int stage = 0;
  for (int step = 0; step < loader.steps; step++) {
    wait_for_all_but(stages - 1);
    __syncwarp();  // all lanes' copies are there
    const int8_t* codes = loader.stage(stage);
    float scores[2][4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; k += 2)
      multiply_codes_of_keys(scores[0], scores[1], query(k), query(k + 1), codes, kStride, 16 * k);
    PairScales scales[2] = {loader.scales(codes, 0), loader.scales(codes, 1)};
#pragma unroll
    for (int n = 0; n < 2; n++) scale_scores(scores[n], scales[n]);
    int key = loader.key(step);
    bool all_seen = key >= all_from && key + kStepKeys <= all_until;
    float factor[2];
    rows.probabilities<f16>(scores, factor, key, all_seen);
    float raised = unit.raise(fmaxf(scales[0].largest_value(), scales[1].largest_value()));
    factor[0] *= raised;
    factor[1] *= raised;
    if (__any_sync(kAll, factor[0] != 1.0f || factor[1] != 1.0f)) {
#pragma unroll
      for (int n = 0; n < kDims / 8; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) sums[n][i] *= factor[i / 2];
    }
    Fragment<1> probabilities;
#pragma unroll
    for (int n = 0; n < 2; n++) {
      weigh_block(scores[n], scales[n], unit, all_seen);
#pragma unroll
      for (int i = 0; i < 2; i++) probabilities.set<f16>(2 * n + i, scores[n][2 * i], scores[n][2 * i + 1]);
    }
#pragma unroll
    for (int n = 0; n < kDims / 8; n += 4)
      multiply_codes_of_values(sums + n, probabilities, codes + kStepKeys * kStride, kStride, 8 * n);
    __syncwarp();  // all lanes are done with this stage
    loader.issue(step + stages, loader.stage(stage));
    stage = stage + 1 == stages ? 0 : stage + 1;
  }
  // Without probabilities' factor, so that large values stay numbers in sums of 2^14 times as much.
  float shrink = exp2f(-kProbabilityExponent<f16>), value = unit.value() * shrink;
#pragma unroll
  for (int i = 0; i < 2; i++) rows.total[i] *= shrink;
  finish<kDims>(out, reinterpret_cast<float*>(dynamic), rows, shape, tile, partials, kv_head, split, used, 0,
                [&](int i, float* to) { put_sums<kDims>(to, sums, i, value); });
}

}  // namespace

#define PAGED_ATTENTION(NAME, DIMS)                                                                                   \
  LATHE_KERNEL(NAME, kThreads, (PAGED_ATTENTION_TENSORS(int8_t), PAGED_ATTENTION_SIZES, float* partial_sums,         \
                                float* partial_stats, int* arrived, int splits, int keys_per_split, int stages)) {   \
    attend<DIMS>(out, qkv, keys, values, PAGED_ATTENTION_SHAPE, PAGED_ATTENTION_BATCH, {least_new, most_new},         \
                 {partial_sums, partial_stats, arrived, splits, keys_per_split}, stages);                            \
  }
PAGED_ATTENTION(paged_attention_decode_s8_64, 64)
PAGED_ATTENTION(paged_attention_decode_s8_128, 128)
PAGED_ATTENTION(paged_attention_decode_s8_256, 256)
