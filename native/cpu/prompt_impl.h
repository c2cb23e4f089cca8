/* Causal attention for many new tokens of one sequence: a lane a query, so that no sum crosses lanes.
 *
 *   score[j] = sum_d q[d] * K[j][d]        W queries at once, K[j][d] broadcast
 *   out[d]  += e^(score[j] - m) * V[j][d]  with a running maximum m a lane (Milakov and Gimelshein 2018, 1805.02867)
 *
 * Keys come page by page. A lane's keys end where its own position is: later ones get weight 0. Sums run over d and j in
 * ascending order, where attention_impl.h sums by lanes: a prompt's last bits differ from a single token's.
 */
#pragma once
#include "int8_kv_impl.h"
#include "rows_impl.h"

namespace {

constexpr int64_t kKeyBlock = 32;

/* Fewer tokens than this are faster one by one. */
constexpr int64_t kPromptTokens = 3 * W / 4;

INLINE int64_t promptScratch(int64_t head_dim) {
  return 2 * head_dim * W + kKeyBlock * W + 2 * kKeyBlock * (head_dim + 16);
}

/* scores[j][lane] = sum_d queries[d][lane] * keys[j][d]; Across: keys[d][j] of kTileRows columns */
template <int N, bool Across>
INLINE void scoreKeys(const float* queries, const float* keys, int64_t head_dim, float* scores) {
  vec acc[N];
#pragma GCC unroll 8
  for (int j = 0; j < N; j++) {
    acc[j] = vzero();
  }
  for (int64_t d = 0; d < head_dim; d++) {
    vec q = vload(queries + d * W);
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) {
      acc[j] = vfma(q, vset(Across ? keys[d * kTileRows + j] : keys[j * head_dim + d]), acc[j]);
    }
  }
#pragma GCC unroll 8
  for (int j = 0; j < N; j++) {
    vstore(scores + j * W, acc[j]);
  }
}

/* out[d][lane] += sum_j weights[j][lane] * values[j][d] */
template <int N>
INLINE void weighKeys(const float* weights, const float* values, int64_t head_dim, int64_t rows, float* out) {
  vec acc[N];
#pragma GCC unroll 8
  for (int d = 0; d < N; d++) {
    acc[d] = vload(out + d * W);
  }
  for (int64_t j = 0; j < rows; j++) {
    vec p = vload(weights + j * W);
#pragma GCC unroll 8
    for (int d = 0; d < N; d++) {
      acc[d] = vfma(p, vset(values[j * head_dim + d]), acc[d]);
    }
  }
#pragma GCC unroll 8
  for (int d = 0; d < N; d++) {
    vstore(out + d * W, acc[d]);
  }
}

struct PromptTile {
  float* queries; /* [head_dim, W], scaled */
  float* out;     /* [head_dim, W] */
  float* scores;  /* [kKeyBlock, W] */
  vec most;
  vec sum;
};

/* Keys first to first + rows of the sequence; lane i sees `visible + i` keys. */
template <bool Across>
INLINE void attendBlock(PromptTile& tile, const float* keys, const float* values, int64_t head_dim, int64_t first,
                        int64_t rows, int64_t visible) {
  constexpr int N = 4 * W > 32 ? 8 : 4;
  int64_t step = Across ? 1 : head_dim;
  int64_t j = 0;
  for (; j + N <= rows; j += N) {
    scoreKeys<N, Across>(tile.queries, keys + j * step, head_dim, tile.scores + j * W);
  }
  for (; j < rows; j++) {
    scoreKeys<1, Across>(tile.queries, keys + j * step, head_dim, tile.scores + j * W);
  }
  vec most = tile.most;
  vec nothing = vset(-__builtin_inff());
  for (j = 0; j < rows; j++) {
    vec s = vload(tile.scores + j * W);
    int64_t hidden = first + j - visible + 1; /* lanes below this one do not see the key */
    if (hidden > 0) {
      uint32_t seen = hidden >= W ? 0 : ((1u << W) - 1) & ~((1u << hidden) - 1);
      uint32_t all = (1u << W) - 1;
      s = vadd(vkeep(seen, s), vkeep(all & ~seen, nothing));
      vstore(tile.scores + j * W, s);
    }
    most = vmax(s, most);
  }
  if (vequal(most, tile.most) != (1u << W) - 1) {
    vec shrink = vexp(vsub(tile.most, most));
    tile.sum = vmul(tile.sum, shrink);
    for (int64_t d = 0; d < head_dim; d++) {
      vstore(tile.out + d * W, vmul(vload(tile.out + d * W), shrink));
    }
    tile.most = most;
  }
  for (j = 0; j < rows; j++) {
    vec p = vexp(vsub(vload(tile.scores + j * W), most));
    int64_t hidden = first + j - visible + 1;
    if (hidden > 0) {
      p = vkeep(hidden >= W ? 0 : ((1u << W) - 1) & ~((1u << hidden) - 1), p);
    }
    tile.sum = vadd(tile.sum, p);
    vstore(tile.scores + j * W, p);
  }
  int64_t d = 0;
  for (; d + N <= head_dim; d += N) {
    weighKeys<N>(tile.scores, values + d, head_dim, rows, tile.out + d * W);
  }
  for (; d < head_dim; d++) {
    weighKeys<1>(tile.scores, values + d, head_dim, rows, tile.out + d * W);
  }
}

/* Rows of a page as floats that may be loaded one by one. */
template <Kv K> INLINE const float* widenRows(const uint8_t* page, int64_t elements, float* space) {
  if (K == Kv::F32 && reinterpret_cast<uintptr_t>(page) % alignof(float) == 0) {
    return reinterpret_cast<const float*>(page);
  }
  int64_t i = 0;
  for (; i + W <= elements; i += W) {
    vstore(space + i, loadKv<K>(page, i));
  }
  if (i < elements) {
    int n = int(elements - i);
    vstoren(space + i, loadKv<K>(page, i, n), n);
  }
  return space;
}

/* Up to W new tokens, from `token` on, of one query head. */
template <Kv K>
void attendTile(const lathe::AttentionItem& item, int64_t token, int64_t count, int64_t head, float* scratch) {
  int64_t head_dim = item.head_dim;
  PromptTile tile{scratch, scratch + head_dim * W, scratch + 2 * head_dim * W, vset(-__builtin_inff()), vzero()};
  float* wideKeys = tile.scores + kKeyBlock * W;
  float* wideValues = wideKeys + kKeyBlock * (head_dim + 16);
  for (int64_t d = 0; d < head_dim; d++) {
    for (int64_t i = 0; i < W; i++) {
      int64_t from = token + (i < count ? i : count - 1);
      tile.queries[d * W + i] = item.query[from * item.query_stride + head * head_dim + d] * item.scale;
    }
    vstore(tile.out + d * W, vzero());
  }
  int64_t visible = item.first + token;
  int64_t keys = visible + count - 1;
  for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
    int64_t at = item.page_stride * item.blocks[page];
    int64_t inPage = keys - start < item.page_size ? keys - start : item.page_size;
    constexpr int64_t block = K == Kv::INT8 ? kTileRows : kKeyBlock;
    for (int64_t r = 0; r < inPage; r += block) {
      int64_t rows = inPage - r < block ? inPage - r : block;
      if constexpr (K == Kv::INT8) {
        Tiles tiles(item.page_size, head_dim);
        widenKeys(tiles, Rows(tiles, item.keys + at, r, rows), wideKeys);
        widenValues(tiles, Rows(tiles, item.values + at, r, rows), wideValues);
        attendBlock<true>(tile, wideKeys, wideValues, head_dim, start + r, rows, visible);
      } else {
        int64_t row = at + kvBytes<K> * r * head_dim;
        const float* k = widenRows<K>(item.keys + row, rows * head_dim, wideKeys);
        const float* v = widenRows<K>(item.values + row, rows * head_dim, wideValues);
        attendBlock<false>(tile, k, v, head_dim, start + r, rows, visible);
      }
    }
  }
  for (int64_t d = 0; d < head_dim; d++) {
    vstore(tile.out + d * W, vdiv(vload(tile.out + d * W), tile.sum));
  }
  for (int64_t i = 0; i < count; i++) {
    float* out = item.out + (token + i) * item.out_stride + head * head_dim;
    for (int64_t d = 0; d < head_dim; d++) {
      out[d] = tile.out[d * W + i];
    }
  }
}

template <Kv K> void attendPrompt(const lathe::AttentionItem& item, float* scratch) {
  for (int64_t head = 0; head < item.group; head++) {
    for (int64_t token = 0; token < item.tokens; token += W) {
      int64_t count = item.tokens - token < W ? item.tokens - token : W;
      attendTile<K>(item, token, count, head, scratch);
    }
  }
}

} // namespace
