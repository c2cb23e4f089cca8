/* Attention of many new tokens over paged INT8 keys and values (prefill), on tensor cores
 *
 *   out[t, h, :] = sum over k of softmax_k(cap(scale * q[t, h, :] . key[k, :])) * value[k, :]
 *
 *   shapes, rows and tiles: common/paged.cuh; keys and values: common/kv_int8.cuh; head_dim a multiple of 16 up to 256
 *   (a kernel each for up to 64, 128 and 256), page_size a multiple of 4; qkv, keys and values 16-byte aligned
 *
 * paged_attention_prefill.cu with half its bytes from memory. Codes come as they are, in two stages through cp.async, and the
 * block makes f16 of a step's once for its four warps, in a tile of shared memory from which ldmatrix takes them; scales are
 * applied once a key. Queries and probabilities are f16 in one part (common/int8_tiles.cuh).
 * needs, for so many keys at a time (64, for 256 dims 32), keys (8 dims + 56) bytes of shared memory; for 256 dims 33,792 more,
 * for the queries
 * 4 rows keys head_dim FLOP: bound by the tensor cores; not measured on a GPU yet
 * grid: tiles, kv_heads           twin: ReferenceBackend.attention          proof: Int8PagedAttentionTest
 */
#include "common/int8_tiles.cuh"
#include "common/prefill.cuh"

namespace {

constexpr int kThreads = 32 * kPrefillWarps;

/** Shared memory for keys and values: a step's as f16, and two stages of codes and scales. */
template <int kDims>
struct Memory {
  static constexpr int kKeys = kKeysAtATime<1, kDims>;
  static constexpr int kRows = 2 * kKeys;  // keys, then values
  static constexpr int kStride = kDims + 8;
  static constexpr int kStageBytes = kRows * (kDims + kScaleBytes);

  f16* tile;      // [rows, kStride]
  float* scales;  // [rows]
  int8_t* stages;
  f16* queries;  // [warps, 16, kStride], for 256 dims

  __device__ __forceinline__ explicit Memory(int8_t* memory)
      : tile(reinterpret_cast<f16*>(memory)),
        scales(reinterpret_cast<float*>(tile + kRows * kStride)),
        stages(reinterpret_cast<int8_t*>(scales + kRows)),
        queries(reinterpret_cast<f16*>(stages + 2 * kStageBytes)) {}

  __device__ __forceinline__ int8_t* codes(int stage) const { return stages + stage * kStageBytes; }
  __device__ __forceinline__ int8_t* stage_scales(int stage) const { return codes(stage) + kRows * kDims; }
};

/** Starts copying a step's codes and scales; those that nobody sees become zero. */
template <int kDims>
__device__ __forceinline__ void issue(const Memory<kDims>& memory, int stage, const int8_t* keys, const int8_t* values,
                                      const int64_t (*offsets)[2], int there, int head_dim) {
  constexpr int kKeys = Memory<kDims>::kKeys, kLanesOfRow = kDims / 16, kRowsAtOnce = kThreads / kLanesOfRow;
  int thread = threadIdx.x, column = thread % kLanesOfRow * 16;
  if (there > 0) {
#pragma unroll
    for (int i = 0; i < kKeys / kRowsAtOnce; i++) {
      int row = i * kRowsAtOnce + thread / kLanesOfRow;
      int64_t from = row < there ? offsets[row][0] + column : 0;
      if (column < head_dim) {
        cp_async_16(memory.codes(stage) + row * kDims + column, keys + from, row < there);
        cp_async_16(memory.codes(stage) + (kKeys + row) * kDims + column, values + from, row < there);
      }
    }
    if (thread < 2 * kKeys) {
      int row = thread % kKeys;
      int64_t from = row < there ? offsets[row][1] : 0;
      cp_async_4(memory.stage_scales(stage) + thread * kScaleBytes, (thread < kKeys ? keys : values) + from, row < there);
    }
  }
  cp_async_commit();  // also of nothing: groups are counted
}

/** A stage's codes as f16, eight at a time, and its scales. */
template <int kDims>
__device__ __forceinline__ void widen_stage(const Memory<kDims>& memory, int stage, int head_dim) {
  constexpr int kPacks = kDims / 8;
#pragma unroll 2
  for (int i = threadIdx.x; i < Memory<kDims>::kRows * kPacks; i += kThreads) {
    int row = i / kPacks, column = i % kPacks * 8;
    if (column >= head_dim) continue;
    uint2 codes = *reinterpret_cast<const uint2*>(memory.codes(stage) + row * kDims + column);
    uint32_t low = flip_signs(codes.x), high = flip_signs(codes.y);
    uint4 wide = {widen(low, 0x4140u), widen(low, 0x4342u), widen(high, 0x4140u), widen(high, 0x4342u)};
    *reinterpret_cast<uint4*>(memory.tile + row * Memory<kDims>::kStride + column) = wide;
  }
  if (threadIdx.x < Memory<kDims>::kRows)
    memory.scales[threadIdx.x] = reinterpret_cast<const float*>(memory.stage_scales(stage))[threadIdx.x];
}

/** A warp's queries in shared memory, [16, stride]: columns 16 k to 16 k + 15, as a lane holds them. */
__device__ __forceinline__ void put_query(f16* memory, int stride, int k, const Fragment<1>& query) {
  int lane = threadIdx.x % 32;
#pragma unroll
  for (int i = 0; i < 4; i++)
    *reinterpret_cast<uint32_t*>(memory + (lane / 4 + i % 2 * 8) * stride + 16 * k + i / 2 * 8 + 2 * (lane % 4)) =
        query.registers[0][i];
}

/** What a warp multiplies scores and probabilities of a step by. */
template <int kKeys>
struct StepScales {
  const float* scales;  // of keys, then of values
  ValueUnit& unit;

  __device__ __forceinline__ PairScales of_block(int n) const {
    const float2* pairs = reinterpret_cast<const float2*>(scales) + 4 * n + threadIdx.x % 4;
    return {pairs[0], pairs[kKeys / 2]};
  }
  __device__ __forceinline__ void scale(float (&scores)[kKeys / 8][4]) const {
#pragma unroll
    for (int n = 0; n < kKeys / 8; n++) scale_scores(scores[n], of_block(n));
  }
  __device__ __forceinline__ void weigh(float (&probabilities)[kKeys / 8][4], float (&factor)[2], bool all_seen) const {
    float largest = 0;
#pragma unroll
    for (int n = 0; n < kKeys / 8; n++) largest = fmaxf(largest, of_block(n).largest_value());
    float raised = unit.raise(largest);
#pragma unroll
    for (int i = 0; i < 2; i++) factor[i] *= raised;
#pragma unroll
    for (int n = 0; n < kKeys / 8; n++) weigh_block(probabilities[n], of_block(n), unit, all_seen);
  }
};

template <int kDims>
__device__ __forceinline__ void attend(float* out, const float* qkv, const int8_t* keys, const int8_t* values,
                                       const AttentionShape& shape, const AttentionBatch& batch, NewTokens taken) {
  LATHE_DYNAMIC_SHARED(int8_t, dynamic);
  constexpr int kKeys = Memory<kDims>::kKeys, kStride = Memory<kDims>::kStride;
  constexpr bool kInRegisters = kQueriesInRegisters<1, kDims>;
  LATHE_SHARED(int64_t, offsets, [2][kKeys][2]);  // of codes and scale
  Memory<kDims> memory(dynamic);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32, kv_head = blockIdx.y;
  // The last tiles of a prompt see the most keys: they go first, so that none is left alone at the end.
  Tile tile = find_tile(batch, shape, static_cast<int>(gridDim.x - 1 - blockIdx.x), kPrefillRows, taken);
  if (tile.index < 0) return;

  for (int row = threadIdx.x; row < Memory<kDims>::kRows; row += kThreads)
    for (int c = shape.head_dim; c < kDims; c++) memory.tile[row * kStride + c] = to_kv<f16>(0);
  int steps = (tile.key_end - tile.key_begin + kKeys - 1) / kKeys;
  auto locate = [&](int step, int row) {
    int key = tile.key_begin + step * kKeys + row;
    if (key >= tile.key_end) return;
    Int8Row at = cached_int8_key(shape, tile, kv_head, key);
    offsets[step % 2][row][0] = at.codes;
    offsets[step % 2][row][1] = at.scale;
  };
  auto there = [&](int step) { return tile.key_end - tile.key_begin - step * kKeys; };
  for (int i = threadIdx.x; i < 2 * kKeys; i += kThreads) locate(i / kKeys, i % kKeys);
  __syncthreads();
  for (int s = 0; s < 2; s++) issue(memory, s, keys, values, offsets[s], there(s), shape.head_dim);

  LaneRows rows(qkv, shape, tile, kv_head, 16 * warp);
  Fragment<1> queries[kInRegisters ? kDims / 16 : 1];
  f16* shared_queries = memory.queries + warp * 16 * kStride;
#pragma unroll
  for (int k = 0; k < kDims / 16; k++) {
    if constexpr (kInRegisters) {
      queries[k] = rows.query<f16, 1>(k, shape.head_dim);
    } else {
      put_query(shared_queries, kStride, k, rows.query<f16, 1>(k, shape.head_dim));
    }
  }
  // What the warp's rows see: all of them, and any of them.
  int first_row = 16 * warp, last_row = smaller(first_row + 15, tile.rows - 1);
  bool idle = first_row >= tile.rows;
  int all_from = tile.first_key(last_row, shape.window), all_until = tile.visible(first_row);
  int any_from = tile.first_key(first_row, shape.window), any_until = tile.visible(last_row);

  float sums[kDims / 8][4] = {};
  ValueUnit unit;
  for (int s = 0; s < steps; s++) {
    cp_async_wait<1>();
    __syncthreads();  // all threads' copies are there, and nobody reads the tile any more
    widen_stage(memory, s % 2, shape.head_dim);
    if (threadIdx.x < kKeys) locate(s + 2, threadIdx.x);
    __syncthreads();  // the tile is there, and the stage is free
    issue(memory, s % 2, keys, values, offsets[s % 2], there(s + 2), shape.head_dim);
    int key = tile.key_begin + s * kKeys;
    if (!idle && key < any_until && key + kKeys > any_from)
      step<f16, 1, kDims, kKeys>(rows, sums, queries, shared_queries, memory.tile, key,
                                 key >= all_from && key + kKeys <= all_until, StepScales<kKeys>{memory.scales, unit});
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
      float2 pair = {sums[n][2 * i] / rows.total[i] * unit.value(), sums[n][2 * i + 1] / rows.total[i] * unit.value()};
      *reinterpret_cast<float2*>(to + 8 * n) = pair;
    }
  }
}

}  // namespace

#define PAGED_ATTENTION(NAME, DIMS)                                                                              \
  LATHE_KERNEL(NAME, kThreads, (PAGED_ATTENTION_TENSORS(int8_t), PAGED_ATTENTION_SIZES)) {                       \
    attend<DIMS>(out, qkv, keys, values, PAGED_ATTENTION_SHAPE, PAGED_ATTENTION_BATCH, {least_new, most_new});   \
  }
PAGED_ATTENTION(paged_attention_prefill_s8_64, 64)
PAGED_ATTENTION(paged_attention_prefill_s8_128, 128)
PAGED_ATTENTION(paged_attention_prefill_s8_256, 256)
