/* What the blocks that shared a tile's keys have left, together: common/combine.cuh, as a kernel of its own
 *
 *   shapes, rows, tiles and partials: common/paged.cuh; f32
 *
 * Does nothing for tiles whose keys were not divided.
 * needs 128 threads a block, and splits up to 128
 * moves 4 splits head_dim bytes a row, which come from the L2 cache: bound by its launch; not measured on a GPU yet
 * grid: tiles, kv_heads, rows of a tile
 * twin: none, it is a part of ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/combine.cuh"

namespace {

constexpr int kThreads = 128;

}  // namespace

LATHE_KERNEL(paged_attention_combine, kThreads,
             (float* out, PAGED_ATTENTION_SIZES, const float* partial_sums, const float* partial_stats, int splits,
              int keys_per_split, int rows_per_tile)) {
  AttentionShape shape = PAGED_ATTENTION_SHAPE;
  Tile tile = find_tile(PAGED_ATTENTION_BATCH, shape, blockIdx.x, rows_per_tile, {least_new, most_new});
  int kv_head = blockIdx.y, row = blockIdx.z;
  if (tile.index < 0 || row >= tile.rows) return;
  int used = used_splits(tile, splits, keys_per_split);
  if (used == 1) return;
  Partials partials = {nullptr, nullptr, nullptr, splits, keys_per_split};
  int64_t first = partials.row(shape, tile, kv_head, 0, rows_per_tile, row);

  LATHE_SHARED(float, factors, [kMaxSplits + 1]);
  if (threadIdx.x < 32) {
    float total = part_factors(factors, partial_stats + 2 * first, used, rows_per_tile);
    if (threadIdx.x == 0) factors[kMaxSplits] = total;
  }
  __syncthreads();
  float* to = out_row(out, shape, tile, kv_head, row);
  int64_t stride = static_cast<int64_t>(rows_per_tile) * head_dim;
  for (int c = threadIdx.x; c < head_dim; c += kThreads)
    to[c] = combined(partial_sums + first * head_dim + c, factors, used, stride, factors[kMaxSplits]);
}
