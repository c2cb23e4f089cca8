/* What the blocks that shared a tile's keys have left, together (flash-decoding: Dao et al. 2023)
 *
 *   out[row, :] = sum_s exp(largest_s - largest) sums_s[row, :] / sum_s exp(largest_s - largest) total_s
 *
 *   shapes, rows, tiles and partials: common/paged.cuh; f32
 *
 * Does nothing for tiles whose keys were not divided. A part none of whose keys a row sees has largest_s = -inf, total_s = 0.
 * needs 128 threads a block, and splits up to 128
 * moves 4 splits head_dim bytes a row, which come from the L2 cache: bound by its launch; not measured on a GPU yet
 * grid: tiles, kv_heads, rows of a tile
 * twin: none, it is a part of ReferenceBackend.attention          proof: PagedAttentionTest
 */
#include "common/paged.cuh"

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
  Partials partials = {nullptr, nullptr, splits, keys_per_split};
  int64_t first = partials.row(shape, tile, kv_head, 0, rows_per_tile, row);
  const float* stats = partial_stats + 2 * first;
  const float* sums = partial_sums + first * head_dim;

  // A thread a part: how large its largest score is decides what it counts.
  LATHE_SHARED(float, factors, [kThreads]);
  LATHE_SHARED(float, of_warps, [kThreads / 32]);
  int part = threadIdx.x;
  const float* mine = stats + 2 * static_cast<int64_t>(part) * rows_per_tile;
  float base = part < used ? mine[0] : -INFINITY, total = part < used ? mine[1] : 0.0f;
  float largest = warp_max(base);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = largest;
  __syncthreads();
#pragma unroll
  for (int w = 0; w < kThreads / 32; w++) largest = fmaxf(largest, of_warps[w]);
  float factor = expf(base - largest);
  factors[part] = factor;
  total = block_sum(factor * total);  // its barrier is the factors' too

  float* to = out_row(out, shape, tile, kv_head, row);
  for (int c = threadIdx.x; c < head_dim; c += kThreads) {
    float sum = 0;
#pragma unroll 8
    for (int s = 0; s < used; s++) sum += factors[s] * sums[static_cast<int64_t>(s) * rows_per_tile * head_dim + c];
    to[c] = sum / total;
  }
}
