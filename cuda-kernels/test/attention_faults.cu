/* Attention with one mistake, on purpose: what the comparison with the reference must catch.
 *
 * Only g++ compiles it. PagedAttentionTest expects `defect` 0 to pass and each other one to be found.
 */
#include "../common/combine.cuh"

namespace {

enum Defect {
  kNone,
  kMaskTooWide,
  kMaskTooNarrow,
  kWindowTooWide,
  kWindowTooNarrow,
  kWrongPage,
  kWrongHead,
  kPartsNotRescaled,
  kPartMissing,
  kNoCap
};

/** A sum over keys, as the parts of divided keys have it. */
struct Sum {
  float largest = -INFINITY, total = 0, value = 0;

  void add(float score, float weighted) {
    float now = fmaxf(largest, score), factor = expf(largest - now), p = expf(score - now);
    total = total * factor + p;
    value = value * factor + p * weighted;
    largest = now;
  }
};

}  // namespace

/** A thread a row, each column by itself. */
LATHE_KERNEL(attention_with_defect, 128,
             (PAGED_ATTENTION_TENSORS(float), PAGED_ATTENTION_SIZES, float*, float*, int*, int, int, int defect)) {
  AttentionShape shape = PAGED_ATTENTION_SHAPE;
  Tile tile = find_tile(PAGED_ATTENTION_BATCH, shape, static_cast<int>(blockIdx.x), 32, {least_new, most_new});
  int row = static_cast<int>(threadIdx.x), kv_head = static_cast<int>(blockIdx.y);
  if (tile.index < 0 || row >= tile.rows) return;
  int read_head = defect == kWrongHead ? (kv_head * tile.group + tile.head(row)) % kv_heads : kv_head;
  int end = tile.visible(row) + (defect == kMaskTooWide) - (defect == kMaskTooNarrow && tile.visible(row) > 1);
  int begin = tile.first_key(row, window + (defect == kWindowTooWide && window < (1 << 30)) -
                                      (defect == kWindowTooNarrow && window > 1));
  const float* query = query_row(qkv, shape, tile, kv_head, row);
  for (int c = 0; c < head_dim; c++) {
    Sum parts[2];
    for (int key = begin; key < end; key++) {
      int page = key / page_size, last_page = (tile.visible(row) - 1) / page_size;
      if (defect == kWrongPage && page == 1) page = 0;
      if (page > last_page) page = last_page;
      int64_t at = cached_row(shape, tile.pages[page], read_head, key % page_size);
      float dot = 0;
      for (int i = 0; i < head_dim; i++) dot += query[i] * keys[at + i];
      float score = capped(dot * scale, defect == kNoCap ? 0 : soft_cap);
      parts[key >= (begin + end) / 2].add(score, values[at + c]);
    }
    float largest = fmaxf(parts[0].largest, parts[1].largest), sum = 0, total = 0;
    for (int p = defect == kPartMissing && end - begin > 1; p < 2; p++) {
      float factor = defect == kPartsNotRescaled ? 1.0f : expf(parts[p].largest - largest);
      sum += factor * parts[p].value;
      total += factor * parts[p].total;
    }
    out_row(out, shape, tile, kv_head, row)[c] = sum / total;
  }
}

namespace {

enum LastBlockMistake { kNoMistake, kNoFence, kCounterLeft, kLastButOne };

}  // namespace

/** The sum of 1 to gridDim.x: each block leaves its number in `parts`, and the last one adds them up. */
LATHE_KERNEL(last_block_sums, 64, (int* out, int* parts, int* counter, int mistake)) {
  int block = static_cast<int>(blockIdx.x), blocks = static_cast<int>(gridDim.x);
  if (threadIdx.x == 0) parts[block] = block + 1;
  bool last;
  if (mistake == kNoMistake) {
    last = comes_last(counter, blocks);
  } else if (mistake == kLastButOne) {
    last = comes_last(counter, blocks - 1);
  } else {
    LATHE_SHARED(int, shared, [1]);
    if (mistake != kNoFence) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      shared[0] = atomicAdd(counter, 1) == blocks - 1;
      if (shared[0] && mistake != kCounterLeft) atomicExch(counter, 0);
      if (mistake != kNoFence) __threadfence();
    }
    __syncthreads();
    last = shared[0] != 0;
  }
  if (!last || threadIdx.x != 33) return;
  int sum = 0;
  for (int i = 0; i < blocks; i++) sum += __ldcg(parts + i);
  *out = sum;
}
