/* Attention over paged keys and values: which rows a block computes, which keys they see, and where those lie.
 *
 *   qkv, out         [tokens, columns] f32; columns of out: heads * head_dim, of qkv: 2 kv_heads * head_dim more
 *   keys, values     [pages, kv_heads, page_size, head_dim], or INT8: kv_int8.cuh
 *   query_starts     [sequences + 1]  where each sequence's new tokens start
 *   context_lengths  [sequences]      tokens in the cache, the new ones included: new token i of n sees the first
 *                                     context - n + i + 1, or the last `window` of them
 *   block_starts     [sequences + 1]  where each sequence's pages start in blocks
 *
 * The query heads that share a kv head read the same keys, and so do new tokens of one sequence. So the unit of work is a
 * row: row r of a sequence and a kv head is head r % group of new token r / group, and a tile is so many rows that lie
 * together. How many tiles there are depends on values on the device; a grid has to be as large as the shapes allow, at
 * most tokens * group / rows_per_tile + sequences, and blocks without a tile return.
 */
#pragma once
#include "kv_int8.cuh"
#include "kv_types.cuh"
#include "reduce.cuh"

struct AttentionShape {
  int heads, kv_heads, head_dim, page_size, window;
  float scale, soft_cap;  // soft_cap 0: none

  __device__ __forceinline__ int group() const { return heads / kv_heads; }
};

struct AttentionBatch {
  const int *query_starts, *context_lengths, *block_starts, *blocks;
  int sequences;
};

/** How many new tokens a sequence must have for a kernel to take it; another one takes the others. */
struct NewTokens {
  int least, most;
};

struct Tile {
  int index;                // of the grid; -1: there is none
  int first_row, rows;      // of its sequence
  int first_token;          // of its sequence, in the batch
  int before;               // tokens that the cache had before the new ones
  int key_begin, key_end;   // what its rows see, all together
  const int* pages;         // of its sequence
  int group;

  __device__ __forceinline__ int new_token(int row) const { return (first_row + row) / group; }
  __device__ __forceinline__ int token(int row) const { return first_token + new_token(row); }
  __device__ __forceinline__ int head(int row) const { return (first_row + row) % group; }
  /** Keys that a row of this tile sees: from first_key to visible, that excluded. */
  __device__ __forceinline__ int visible(int row) const { return before + new_token(row) + 1; }
  __device__ __forceinline__ int first_key(int row, int window) const { return larger(0, visible(row) - window); }
};

__device__ __forceinline__ int tiles_of(const AttentionBatch& batch, int sequence, int rows_per_tile, int group,
                                        NewTokens taken) {
  int tokens = batch.query_starts[sequence + 1] - batch.query_starts[sequence];
  return tokens < taken.least || tokens > taken.most ? 0 : (tokens * group + rows_per_tile - 1) / rows_per_tile;
}

/** The tile of this index, found by each warp for itself: a lane counts the tiles of its share of the sequences. */
__device__ __forceinline__ Tile find_tile(const AttentionBatch& batch, const AttentionShape& shape, int index,
                                          int rows_per_tile, NewTokens taken) {
  constexpr unsigned kAll = 0xffffffffu;
  int lane = threadIdx.x % 32, group = shape.group();
  int share = (batch.sequences + 31) / 32, first = lane * share;
  int mine = 0;
  for (int s = first; s < smaller(first + share, batch.sequences); s++) mine += tiles_of(batch, s, rows_per_tile, group, taken);
  int until = mine;
#pragma unroll
  for (int offset = 1; offset < 32; offset *= 2) {
    int other = __shfl_up_sync(kAll, until, offset);
    if (lane >= offset) until += other;
  }
  unsigned behind = __ballot_sync(kAll, until > index);
  Tile tile = {};
  tile.index = -1;
  if (behind == 0) return tile;
  int sequence = first, rest = index - (until - mine);
  if (rest >= 0 && rest < mine) {
    for (int count; rest >= (count = tiles_of(batch, sequence, rows_per_tile, group, taken)); sequence++) rest -= count;
  }
  int owner = __popc((behind & -behind) - 1);  // the first lane of them
  sequence = __shfl_sync(kAll, sequence, owner);
  rest = __shfl_sync(kAll, rest, owner);

  int context = batch.context_lengths[sequence];
  tile.first_token = batch.query_starts[sequence];
  int tokens = batch.query_starts[sequence + 1] - tile.first_token;
  tile.index = index;
  tile.group = group;
  tile.first_row = rest * rows_per_tile;
  tile.rows = smaller(rows_per_tile, tokens * group - tile.first_row);
  tile.before = context - tokens;
  tile.pages = batch.blocks + batch.block_starts[sequence];
  tile.key_begin = tile.first_key(0, shape.window);
  tile.key_end = tile.visible(tile.rows - 1);
  return tile;
}

/** Over how many blocks a tile's keys are divided: no more than there is work for. */
__device__ __forceinline__ int used_splits(const Tile& tile, int splits, int keys_per_split) {
  return smaller(splits, larger(1, (tile.key_end - tile.key_begin + keys_per_split - 1) / keys_per_split));
}

/** Where element 0 of a key (and of its value) lies. */
__device__ __forceinline__ int64_t cached_row(const AttentionShape& shape, int page, int kv_head, int row_of_page) {
  return ((static_cast<int64_t>(page) * shape.kv_heads + kv_head) * shape.page_size + row_of_page) * shape.head_dim;
}
__device__ __forceinline__ int64_t cached_key(const AttentionShape& shape, const Tile& tile, int kv_head, int key) {
  return cached_row(shape, tile.pages[key / shape.page_size], kv_head, key % shape.page_size);
}

/** The same of INT8 keys and values. */
__device__ __forceinline__ Int8Row cached_int8_row(const AttentionShape& shape, int page, int kv_head, int row_of_page) {
  return {static_cast<int64_t>(page) * shape.kv_heads + kv_head, row_of_page, shape.page_size, shape.head_dim};
}
__device__ __forceinline__ Int8Row cached_int8_key(const AttentionShape& shape, const Tile& tile, int kv_head, int key) {
  return cached_int8_row(shape, tile.pages[key / shape.page_size], kv_head, key % shape.page_size);
}

/** Column of the row's query head in qkv and in out. */
__device__ __forceinline__ int64_t query_column(const AttentionShape& shape, const Tile& tile, int kv_head, int row) {
  return static_cast<int64_t>(kv_head * tile.group + tile.head(row)) * shape.head_dim;
}
__device__ __forceinline__ const float* query_row(const float* qkv, const AttentionShape& shape, const Tile& tile,
                                                  int kv_head, int row) {
  return qkv + static_cast<int64_t>(tile.token(row)) * (shape.heads + 2 * shape.kv_heads) * shape.head_dim +
         query_column(shape, tile, kv_head, row);
}
__device__ __forceinline__ float* out_row(float* out, const AttentionShape& shape, const Tile& tile, int kv_head,
                                          int row) {
  return out + static_cast<int64_t>(tile.token(row)) * shape.heads * shape.head_dim +
         query_column(shape, tile, kv_head, row);
}

__device__ __forceinline__ float capped(float score, float soft_cap) {
  return soft_cap > 0 ? soft_cap * tanhf(score / soft_cap) : score;
}

/** What a block of several that share a tile's keys leaves for who puts them together: common/combine.cuh. */
struct Partials {
  float* sums;   // [tile, kv_head, split, row, head_dim]: sums of exp(score - largest) * value
  float* stats;  // [tile, kv_head, split, row, 2]: the largest score, and the sum of exp(score - largest)
  int* arrived;  // [tile, kv_head]: zeros, for the last block to put parts together; null: paged_attention_combine does
  int splits;
  int keys_per_split;  // at least, where there are several

  __device__ __forceinline__ int64_t row(const AttentionShape& shape, const Tile& tile, int kv_head, int split,
                                         int rows_per_tile, int row) const {
    int64_t slot = (static_cast<int64_t>(tile.index) * shape.kv_heads + kv_head) * splits + split;
    return slot * rows_per_tile + row;
  }
};

/** Parameters that all of these kernels have, in this order, and what they become. */
#define PAGED_ATTENTION_TENSORS(T) float *out, const float *qkv, const T *keys, const T *values
#define PAGED_ATTENTION_SIZES                                                                                      \
  const int *query_starts, const int *context_lengths, const int *block_starts, const int *blocks, int sequences,  \
      int heads, int kv_heads, int head_dim, int page_size, int window, float scale, float soft_cap, int least_new, \
      int most_new
#define PAGED_ATTENTION_SHAPE {heads, kv_heads, head_dim, page_size, window, scale, soft_cap}
#define PAGED_ATTENTION_BATCH {query_starts, context_lengths, block_starts, blocks, sequences}
