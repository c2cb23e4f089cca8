/* What the blocks that shared a tile's keys have left, together (flash-decoding: Dao et al. 2023)
 *
 *   out[row, :] = sum_s exp(largest_s - largest) sums_s[row, :] / sum_s exp(largest_s - largest) total_s
 *
 *   shapes, rows, tiles and partials: common/paged.cuh; f32
 *
 * Does nothing for tiles whose keys were not divided. A part none of whose keys a row sees has largest_s = -inf, total_s = 0.
 * moves 4 splits head_dim bytes a row, which come from the L2 cache: bound by its launch; not measured on a GPU yet
 * grid: tiles, kv_heads, rows of a tile; blockDim.x a multiple of 32
 * twin: none, it is a part of ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/paged.cuh"

LATHE_KERNEL(paged_attention_combine, 256,
             (float* out, PAGED_ATTENTION_SIZES, const float* partial_sums, const float* partial_stats, int splits,
              int keys_per_split, int rows_per_tile)) {
  AttentionShape shape = PAGED_ATTENTION_SHAPE;
  Tile tile = find_tile(PAGED_ATTENTION_BATCH, shape, blockIdx.x, rows_per_tile, {least_new, most_new});
  int kv_head = blockIdx.y, row = blockIdx.z;
  if (tile.index < 0 || row >= tile.rows) return;
  int used = used_splits(tile, splits, keys_per_split);
  if (used == 1) return;
  Partials partials = {nullptr, nullptr, splits, keys_per_split};
  int64_t first = partials.row(shape, tile, kv_head, 0, rows_per_tile, row);
  const float* stats = partial_stats + 2 * first;
  const float* sums = partial_sums + first * head_dim;
  float largest = -INFINITY;
  for (int s = 0; s < used; s++) largest = fmaxf(largest, stats[2 * static_cast<int64_t>(s) * rows_per_tile]);
  float total = 0;
  for (int s = 0; s < used; s++) {
    const float* part = stats + 2 * static_cast<int64_t>(s) * rows_per_tile;
    total += expf(part[0] - largest) * part[1];
  }
  float* to = out_row(out, shape, tile, kv_head, row);
  for (int c = threadIdx.x; c < head_dim; c += blockDim.x) {
    float sum = 0;
    for (int s = 0; s < used; s++) {
      int64_t part = static_cast<int64_t>(s) * rows_per_tile;
      sum += expf(stats[2 * part] - largest) * sums[part * head_dim + c];
    }
    to[c] = sum / total;
  }
}
