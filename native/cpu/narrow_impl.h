/* Causal attention of single tokens for heads of W / 2 elements, where a register of W floats holds two rows of a page.
 *
 * A chunk is W rows of a page. Its keys are transposed in registers, once for all heads of the group, so that a score
 * is a sum along registers and not across lanes. The weights of a chunk keep the order of lanes that this gives
 * (rowOfLane): a sum over keys does not care. Scores are in units of log 2, so that a weight is 2^(score - largest).
 */
#pragma once
#include <type_traits>
#include "kv_impl.h"

#ifdef LATHE_TWO_ROWS
namespace {

constexpr int kNarrow = W / 2;

/* Floats that attendNarrow keeps for each head: whole chunks, the last of a page may be a part. */
INLINE int64_t narrowStride(int64_t keys, int64_t page_size) {
  return ((keys + page_size - 1) / page_size) * ((page_size + W - 1) / W) * W;
}

/* The row of a chunk whose score lies in a lane. */
constexpr int rowOfLane(int lane) { return lane / 8 * 8 + lane % 4 * 2 + lane / 4 % 2; }
/* The lane of row 2 pair; row 2 pair + 1 has the one 4 further. */
constexpr int laneOfPair(int pair) { return pair < 4 ? pair : pair + 4; }

/* For each number of rows: bit by lane, whose row is one of them. */
struct LanesOfRows {
  uint16_t mask[W + 1];
  constexpr LanesOfRows() : mask{} {
    for (int rows = 0; rows <= W; rows++) {
      for (int lane = 0; lane < W; lane++) {
        mask[rows] = uint16_t(mask[rows] | (rowOfLane(lane) < rows) << lane);
      }
    }
  }
};
constexpr LanesOfRows kLanesOfRows;

/* Rows 2 pair and 2 pair + 1 of a chunk; those from `rows` on are 0. */
template <Kv K, bool Whole> INLINE vec narrowPair(const uint8_t* p, int pair, int64_t rows) {
  if (Whole) {
    return loadKv<K>(p, pair * W);
  }
  const uint8_t* at = p + kvBytes<K> * pair * W;
  /* As numbers, not as branches: those would be foreseen badly. */
  int64_t lanes = kNarrow * (rows - 2 * pair);
  lanes = lanes < 0 ? 0 : lanes > W ? W : lanes;
  uint32_t mask = (1u << lanes) - 1;
  return K == Kv::F32 ? vloadMask(at, mask) : K == Kv::F16 ? vloadMaskF16(at, mask) : vloadMaskBf16(at, mask);
}

/* query[g][j]: elements j and j + 4, each in the quarters where transposed keys have theirs. */
template <Kv K, bool Whole, int G>
INLINE void scoreChunk(const vec (&query)[G][4], const uint8_t* keys, int64_t rows, float* scores, int64_t stride,
                       vec (&most)[G]) {
  vec part[2][G];
#pragma GCC unroll 2
  for (int half = 0; half < 2; half++) {
    vec k[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      k[i] = narrowPair<K, Whole>(keys, 4 * half + i, rows);
    }
    vtransposeQuarters(k);
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) {
      vec sum = vmul(k[0], query[g][0]);
      sum = vfma(k[1], query[g][1], sum);
      sum = vfma(k[2], query[g][2], sum);
      part[half][g] = vfma(k[3], query[g][3], sum);
    }
  }
#pragma GCC unroll 2
  for (int g = 0; g < G; g++) {
    vec score = vaddQuarters(part[0][g], part[1][g]);
    if (!Whole) {
      score = vkeepOrLeast(kLanesOfRows.mask[rows], score);
    }
    vstore(scores + g * stride, score);
    most[g] = vmax(score, most[g]);
  }
}

template <Kv K, bool Whole, int G>
INLINE void weighChunk(const float* scores, int64_t stride, const vec (&shift)[G], const uint8_t* values, int64_t rows,
                       vec (&sum)[G], vec (&acc)[G][2]) {
  vec weights[G];
#pragma GCC unroll 2
  for (int g = 0; g < G; g++) {
    weights[g] = vexp2(vsub(vload(scores + g * stride), shift[g]));
    sum[g] = vadd(sum[g], weights[g]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < W / 2; i++) {
    vec v = narrowPair<K, Whole>(values, i, rows);
#pragma GCC unroll 2
    for (int g = 0; g < G; g++) {
      acc[g][i % 2] = vfma(vspreadHalves(weights[g], laneOfPair(i)), v, acc[g][i % 2]);
    }
  }
}

/* Calls body(whole, address, rows, chunk) for each chunk of W rows or, at the end of a page, fewer. Pages of W rows, the
 * usual ones, need no loop within a page. */
template <Kv K, class F>
INLINE void overChunks(const lathe::AttentionItem& item, const uint8_t* start, int64_t keys, F body) {
  constexpr int64_t bytes = kvBytes<K>;
  int64_t page_bytes = item.page_stride;
  const int32_t* blocks = item.blocks;
  if (item.page_size == W) {
    int64_t whole = keys / W;
    for (int64_t page = 0; page < whole; page++) {
      body(std::true_type{}, start + page_bytes * blocks[page], W, page);
    }
    if (keys % W > 0) {
      body(std::false_type{}, start + page_bytes * blocks[whole], keys % W, whole);
    }
    return;
  }
  int64_t chunk = 0;
  for (int64_t left = keys, page = 0; left > 0; left -= item.page_size, page++) {
    const uint8_t* at = start + page_bytes * blocks[page];
    int64_t rows = left < item.page_size ? left : item.page_size;
    for (; rows > 0; rows -= W, at += bytes * W * kNarrow, chunk++) {
      body(std::false_type{}, at, rows < W ? rows : W, chunk);
    }
  }
}

template <Kv K, int G>
void attendNarrow(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores,
                  int64_t stride) {
  vec factor = vset(item.scale * 1.44269504f); /* log2(e) */
  vec spread[G][4];
  vec most[G];
#pragma GCC unroll 2
  for (int g = 0; g < G; g++) {
    vec scaled = vmul(vtwice(query + g * kNarrow), factor);
    spread[g][0] = vspreadQuarters<0>(scaled);
    spread[g][1] = vspreadQuarters<1>(scaled);
    spread[g][2] = vspreadQuarters<2>(scaled);
    spread[g][3] = vspreadQuarters<3>(scaled);
    most[g] = vset(-__builtin_inff());
  }
  overChunks<K>(item, item.keys, keys, [&](auto whole, const uint8_t* at, int64_t rows, int64_t chunk)
                                              __attribute__((always_inline)) {
    scoreChunk<K, whole.value, G>(spread, at, rows, scores + chunk * W, stride, most);
  });
  vec shift[G];
  vec sum[G];
  vec acc[G][2];
#pragma GCC unroll 2
  for (int g = 0; g < G; g++) {
    shift[g] = vset(vmax1(most[g]));
    sum[g] = vzero();
    acc[g][0] = vzero();
    acc[g][1] = vzero();
  }
  overChunks<K>(item, item.values, keys, [&](auto whole, const uint8_t* at, int64_t rows, int64_t chunk)
                                                __attribute__((always_inline)) {
    weighChunk<K, whole.value, G>(scores + chunk * W, stride, shift, at, rows, sum, acc);
  });
#pragma GCC unroll 2
  for (int g = 0; g < G; g++) {
    vec total = vsumHalves(vadd(acc[g][0], acc[g][1]));
    vstoren(out + g * kNarrow, vdiv(total, vset(vsum1(sum[g]))), kNarrow);
  }
}

} // namespace
#endif
