/* Causal attention of single tokens over keys and values in BF16, for processors that multiply BF16 (vdpbf16ps).
 *
 *   score[j]  = sum_d bf16(q[d]) K[j][d] * scale / ln 2       32 products an instruction, keys as they lie
 *   weight[j] = bf16(2^(score[j] - largest))
 *   out[d]    = sum_j weight[j] V[j][d] / sum_j weight[j]     values of two rows, interleaved in registers
 *
 * The query and the weights are rounded to BF16, as FlashAttention-2 and -3 have P in the type of V (Dao 2023, 2307.08691;
 * Shah et al. 2024, 2407.08608); sums are F32. The rounded weights are summed, so that out stays a mean of the values.
 *
 * For heads of 32, 64, 96 and 128 elements and pages of whole chunks of 16 rows. Up to four heads of a group share what is
 * loaded of keys and values. The order of all sums depends on the token's context alone: which heads share, and how many,
 * changes no bit.
 */
#pragma once
#include <type_traits>
#include "alone_impl.h"

#ifdef LATHE_BF16_PRODUCTS
namespace {

constexpr int64_t kBf16Row = 64; /* bytes of a register: 32 elements of a row */
constexpr int kChunk = W;        /* rows whose scores fill a register */

/* Of the next page so much is fetched ahead that the hardware foresees the rest: more costs what it saves where keys and
 * values lie in the second cache already. */
constexpr int64_t kFetchedLines = 8;

/* Calls body(whole, address, rows, chunk) for each chunk of a context; the last may be a part. */
template <int D, class F>
INLINE void overBf16Chunks(const lathe::AttentionItem& item, const uint8_t* base, int64_t keys, F body) {
  int64_t chunk = 0;
  for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
    const uint8_t* at = base + item.page_stride * item.blocks[page];
    int64_t left = keys - start - item.page_size;
    if (left > 0) {
      const uint8_t* next = base + item.page_stride * item.blocks[page + 1];
      int64_t lines = left < item.page_size ? left * D : item.page_size * D;
      lines = lines < kFetchedLines ? lines : kFetchedLines;
      for (int64_t line = 0; line < lines; line++) {
        __builtin_prefetch(next + line * kBf16Row, 0, 3);
      }
    }
    int64_t rows = keys - start < item.page_size ? keys - start : item.page_size;
    for (; rows >= kChunk; rows -= kChunk, at += kChunk * D * kBf16Row, chunk++) {
      body(std::true_type{}, at, kChunk, chunk);
    }
    if (rows > 0) {
      body(std::false_type{}, at, int(rows), chunk);
    }
  }
}

/* Whether keys are put together by two before they are multiplied, so that a step of the sum over lanes falls away: it is
 * dear where a key is short, and two keys are put together once for all heads. */
template <int D> constexpr bool kKeysInPairs = D == 1;

/* The query as keys meet it. */
template <int D> constexpr int kQueryRegisters = kKeysInPairs<D> ? 2 * D : D;

template <int D> INLINE void loadQueryBf16(const float* query, bvec (&q)[kQueryRegisters<D>]) {
#pragma GCC unroll 4
  for (int d = 0; d < D; d++) {
    bvec rounded = bround(vload(query + 2 * W * d), vload(query + 2 * W * d + W));
    if constexpr (kKeysInPairs<D>) {
      q[2 * d] = bevenPairs(rounded, rounded);
      q[2 * d + 1] = boddPairs(rounded, rounded);
    } else {
      q[d] = rounded;
    }
  }
}

/* fours[g]: in each quarter four sums, one of each of the keys at `keys`, which are a key's when the quarters are added. */
template <int D, int G>
INLINE void multiplyFourKeys(const bvec (&query)[G][kQueryRegisters<D>], const uint8_t* keys, vec (&fours)[G]) {
  if constexpr (kKeysInPairs<D>) {
    vec acc[G][2];
#pragma GCC unroll 4
    for (int d = 0; d < D; d++) {
#pragma GCC unroll 2
      for (int i = 0; i < 2; i++) {
        bvec one = bload(keys + (2 * i * D + d) * kBf16Row);
        bvec two = bload(keys + ((2 * i + 1) * D + d) * kBf16Row);
        bvec even = bevenPairs(one, two);
        bvec odd = boddPairs(one, two);
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) {
          acc[g][i] = bdot(d == 0 ? vzero() : acc[g][i], query[g][2 * d], even);
          acc[g][i] = bdot(acc[g][i], query[g][2 * d + 1], odd);
        }
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      fours[g] = vsumPairs(acc[g][0], acc[g][1]);
    }
  } else {
    vec acc[G][4];
#pragma GCC unroll 4
    for (int d = 0; d < D; d++) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) {
        bvec key = bload(keys + (i * D + d) * kBf16Row);
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) {
          acc[g][i] = bdot(d == 0 ? vzero() : acc[g][i], query[g][d], key);
        }
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      fours[g] = vsumFours(acc[g][0], acc[g][1], acc[g][2], acc[g][3]);
    }
  }
}

/* Scores of a chunk in units of log 2, and the largest so far. Rows beyond `rows` may hold anything: those of the last
 * four are multiplied, their scores are minus infinity. */
template <int D, int G, bool Whole>
INLINE void scoreBf16(const bvec (&query)[G][kQueryRegisters<D>], const uint8_t* keys, int rows, vec factor,
                      float* scores, int64_t stride, vec (&most)[G]) {
  vec fours[4][G];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    if (Whole || 4 * j < rows) {
      multiplyFourKeys<D, G>(query, keys + 4 * j * D * kBf16Row, fours[j]);
    } else {
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) {
        fours[j][g] = vzero();
      }
    }
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    vec score = vmul(vsumQuarters(fours[0][g], fours[1][g], fours[2][g], fours[3][g]), factor);
    if (!Whole) {
      score = vkeepOrLeast((1u << rows) - 1, score);
    }
    vstore(scores + g * stride, score);
    most[g] = vmax(score, most[g]); /* NaN changes nothing here; its weight will be NaN */
  }
}

/* Scores of `chunks` chunks to weights in BF16, in the first half of the same memory, and their sum. A row without a score
 * has weight 2^-126, which no sum notices. */
INLINE float weightsBf16(float* scores, int64_t chunks, vec shift) {
  uint8_t* weights = reinterpret_cast<uint8_t*>(scores);
  vec sum = vzero();
  int64_t i = 0;
  for (; i + 2 <= chunks; i += 2) {
    vec low = vexp2(vsub(vload(scores + i * W), shift));
    vec high = vexp2(vsub(vload(scores + i * W + W), shift));
    bvec rounded = bround(low, high);
    bstore(weights + i * 2 * W, rounded);
    sum = vadd(sum, vadd(beven(rounded), bodd(rounded)));
  }
  if (i < chunks) {
    bvec rounded = bround(vexp2(vsub(vload(scores + i * W), shift)), vzero());
    bstoreHalf(weights + i * 2 * W, rounded);
    sum = vadd(sum, vadd(beven(rounded), bodd(rounded)));
  }
  return vsum1(sum);
}

/* Independent sums for each half of 32 columns, which hide the latency of a product: eight registers a head. */
constexpr int bf16Interleaved(int registers) { return registers >= 3 ? 1 : 4 / registers; }

/* acc[g][h][pair % I] += weights of a pair of rows by their values, for N halves of 32 columns from half `First` on. Nothing
 * of a row beyond `rows` is multiplied. */
template <int D, int G, int First, int N, bool Whole>
INLINE void weighBf16(const uint8_t* values, int rows, const uint8_t* weights, int64_t stride,
                      vec (&acc)[G][N][bf16Interleaved(D)]) {
  constexpr int I = bf16Interleaved(D);
#pragma GCC unroll 8
  for (int pair = 0; pair < kChunk / 2; pair++) {
    if (!Whole && 2 * pair >= rows) {
      break;
    }
    const uint8_t* row = values + 2 * pair * D * kBf16Row;
    bvec weight[G];
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      weight[g] = bspreadPair(weights + g * stride + 4 * pair);
    }
#pragma GCC unroll 8
    for (int h = 0; h < N; h++) {
      const uint8_t* at = row + (First + h) / 2 * kBf16Row;
      bvec even = bload(at);
      bvec odd = Whole ? bload(at + D * kBf16Row) : bloadIf(2 * pair + 1 < rows, at + D * kBf16Row);
      bvec both = (First + h) % 2 == 0 ? bpairs<false>(even, odd) : bpairs<true>(even, odd);
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) {
        acc[g][h][pair % I] = bdot(acc[g][h][pair % I], weight[g], both);
      }
    }
  }
}

/* total[g][First .. First + N): a pass over the values for so many columns that all sums are in registers. */
template <int D, int G, int First, int N>
INLINE void sumBf16(const lathe::AttentionItem& item, int64_t keys, const float* weights, int64_t stride,
                    vec (&total)[G][2 * D]) {
  constexpr int I = bf16Interleaved(D);
  vec acc[G][N][I];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 8
    for (int h = 0; h < N; h++) {
#pragma GCC unroll 4
      for (int i = 0; i < I; i++) {
        acc[g][h][i] = vzero();
      }
    }
  }
  const uint8_t* pairs = reinterpret_cast<const uint8_t*>(weights);
  overBf16Chunks<D>(item, item.values, keys, [&](auto whole, const uint8_t* at, int rows, int64_t chunk)
                                                 __attribute__((always_inline)) {
    weighBf16<D, G, First, N, whole.value>(at, rows, pairs + chunk * 2 * W, 4 * stride, acc);
  });
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 8
    for (int h = 0; h < N; h++) {
      total[g][First + h] = acc[g][h][0];
#pragma GCC unroll 4
      for (int i = 1; i < I; i++) {
        total[g][First + h] = vadd(total[g][First + h], acc[g][h][i]);
      }
    }
  }
}

template <int D, int G>
void attendBf16(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores) {
  constexpr int64_t head_dim = 2 * W * D;
  int64_t chunks = (keys + kChunk - 1) / kChunk;
  int64_t stride = chunks * kChunk;
  vec factor = vset(item.scale * 1.44269504f); /* log2(e) */
  bvec rounded[G][kQueryRegisters<D>];
  vec most[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    loadQueryBf16<D>(query + g * head_dim, rounded[g]);
    most[g] = vset(-__builtin_inff());
  }
  overBf16Chunks<D>(item, item.keys, keys, [&](auto whole, const uint8_t* at, int rows, int64_t chunk)
                                               __attribute__((always_inline)) {
    scoreBf16<D, G, whole.value>(rounded, at, rows, factor, scores + chunk * kChunk, stride, most);
  });
  float sums[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    sums[g] = weightsBf16(scores + g * stride, chunks, vset(vmax1(most[g])));
  }
  vec total[G][2 * D];
  if constexpr (G < 4) {
    sumBf16<D, G, 0, 2 * D>(item, keys, scores, stride, total);
  } else {
    sumBf16<D, G, 0, D>(item, keys, scores, stride, total);
    sumBf16<D, G, D, D>(item, keys, scores, stride, total);
  }
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 4
    for (int d = 0; d < D; d++) {
      vec low = vdiv(total[g][2 * d], vset(sums[g]));
      vec high = vdiv(total[g][2 * d + 1], vset(sums[g]));
      vjoinHalves(low, high);
      vstore(out + g * head_dim + 2 * W * d, low);
      vstore(out + g * head_dim + 2 * W * d + W, high);
    }
  }
}

template <int D>
INLINE void attendGroupBf16(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out,
                            float* scores) {
  constexpr int64_t head_dim = 2 * W * D;
  for (int64_t g = 0; g < item.group; g += 4) {
    const float* q = query + g * head_dim;
    float* o = out + g * head_dim;
    switch (item.group - g) {
      case 1: attendBf16<D, 1>(item, keys, q, o, scores); break;
      case 2: attendBf16<D, 2>(item, keys, q, o, scores); break;
      case 3: attendBf16<D, 3>(item, keys, q, o, scores); break;
      default: attendBf16<D, 4>(item, keys, q, o, scores);
    }
  }
}

/* Whether heads and pages are of sizes that are run here; then it is done. */
bool attendBf16(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores) {
  if (item.page_size % kChunk != 0) {
    return false;
  }
  switch (item.head_dim) {
    case 32: attendGroupBf16<1>(item, keys, query, out, scores); return true;
    case 64: attendGroupBf16<2>(item, keys, query, out, scores); return true;
    case 96: attendGroupBf16<3>(item, keys, query, out, scores); return true;
    case 128: attendGroupBf16<4>(item, keys, query, out, scores); return true;
    default: return false;
  }
}

} // namespace
#endif
