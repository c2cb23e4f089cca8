/* Causal attention of single tokens over keys and values in INT8, for processors that multiply bytes (vpdpbusd).
 *
 *   score[j]  = sum_d q[d] K[j][d] * scale_q scale_K[j] * scale / ln 2     q of 16 bits, as two bytes
 *   weight[j] = 2^(score[j] - largest) * scale_V[j]                        of 16 bits, as two bytes, with a scale for
 *                                                                          each kSegment tiles of 16 keys
 *   out[d]    = sum_j weight[j] V[j][d] / sum_j 2^(score[j] - largest)
 *
 * Sums over d, and over the keys of a segment, are exact integers. An element of the query is off by at most half of
 * 1 / 32,639 of the largest of its head, a weight by half of 1 / 65,535 of the largest of its segment. Tiles lie as
 * int8_kv_impl.h says: scores of 16 keys are a register's lanes, and so are 16 columns of the output; nothing is moved
 * between lanes.
 *
 * For heads of 32, 64, 96 and 128 elements and pages of whole tiles. Up to four heads of a group share what is loaded. The
 * order of what is rounded depends on the token's context alone.
 */
#pragma once
#include <type_traits>
#include "int8_kv_impl.h"
#include "softmax_impl.h"

#ifdef LATHE_DOTS_BYTES
namespace {

static_assert(kTileRows == W);

/* Tiles whose weights share a scale: sums of their products fit 32 bits. */
constexpr int64_t kSegment = 8;
static_assert(kSegment * kTileRows * 65535 * 128 < int64_t(1) << 31);
constexpr float kMostQuery = 32639; /* 127 * 256 + 127 */
constexpr float kMostWeight = 65535;
/* In the place of a smaller largest weight of a segment, so that its inverse is a number. */
constexpr float kLeastWeight = 1e-33f;

INLINE int64_t tilesOf(int64_t keys) { return (keys + kTileRows - 1) / kTileRows; }

/* Where the tiles of a sequence lie, in bytes from the first of the cache. */
INLINE void findTiles(const lathe::AttentionItem& item, int64_t tiles, int64_t* to) {
  if (item.page_size == kTileRows) {
    for (int64_t tile = 0; tile < tiles; tile++) {
      to[tile] = item.page_stride * item.blocks[tile];
    }
    return;
  }
  int64_t bytes = Tiles(item.page_size, item.head_dim).bytes();
  int64_t each = item.page_size / kTileRows;
  for (int64_t tile = 0; tile < tiles; tile++) {
    to[tile] = item.page_stride * item.blocks[tile / each] + tile % each * bytes;
  }
}

/* Floats that the weights of a head take, and the places of tiles. */
INLINE int64_t weightStride(int64_t keys) { return tilesOf(keys) * kTileRows; }
INLINE int64_t tilePlaces(int64_t keys) { return (2 * tilesOf(keys) + W - 1) / W * W; }

/* One head's keys or values. */
template <int D> struct TilesAt {
  const uint8_t* base;
  const int64_t* places;
  const uint8_t* codes(int64_t tile) const { return base + places[tile]; }
  const uint8_t* scales(int64_t tile) const { return base + places[tile] + W * D * kTileRows; }
};

/* A query as integers of 16 bits: 256 high + low, both with a sign. */
template <int D> struct ByteQuery {
  alignas(64) int8_t high[W * D];
  alignas(64) int8_t low[W * D];
  int32_t start; /* what takes the 128 off again that codes of keys have too much */
  float scale;   /* NaN where an element is no finite number */
};

template <int D> INLINE void loadQuery(const float* query, ByteQuery<D>& to) {
  float largest = largestOf(query, 0, W * D);
  bool finite = largest <= kLargestFloat;
  float base = largest < kLeastLargest ? kLeastLargest : largest;
  vec factor = vset(finite ? kMostQuery / base : 0);
  ivec sum = izero();
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
    ivec q = iround(vmul(vload(query + d * W), factor));
    ivec high = idivide256(q);
    sum = iadd(sum, q);
    istoreBytes(to.high + d * W, high);
    istoreBytes(to.low + d * W, isub(q, itimes256(high)));
  }
  to.start = -128 * isum1(sum);
  to.scale = finite ? base / kMostQuery : __builtin_nanf("");
}

/* Scores of T tiles in units of log 2. */
template <int D, int G, int T>
INLINE void scoreTiles(const ByteQuery<D> (&query)[G], const TilesAt<D>& keys, int64_t tile, const vec (&factor)[G],
                       float* scores, int64_t stride, vec (&most)[G]) {
  ivec high[G][T];
  ivec low[G][T];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
      high[g][t] = izero();
      low[g][t] = ispread(&query[g].start);
    }
  }
#pragma GCC unroll 32
  for (int quad = 0; quad < W * D / kQuad; quad++) {
#pragma GCC unroll 4
    for (int t = 0; t < T; t++) {
      ivec key = iload(keys.codes(tile + t) + quad * 64);
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) {
        idotSpread(low[g][t], key, query[g].low + quad * kQuad);
        idotSpread(high[g][t], key, query[g].high + quad * kQuad);
      }
    }
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; t++) {
    vec scale = vload(keys.scales(tile + t));
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      vec score = vmul(ifloat(iadd(itimes256(high[g][t]), low[g][t])), vmul(scale, factor[g]));
      vstore(scores + g * stride + t * W, score);
      most[g] = vmax(score, most[g]); /* NaN changes nothing here; its weight will be NaN */
    }
  }
}

/* Of all tiles, and the largest. Rows behind the last may hold anything: their scores are minus infinity. */
template <int D, int G>
INLINE void scoreBytes(const ByteQuery<D> (&query)[G], const TilesAt<D>& tiles, int64_t keys, const vec (&factor)[G],
                       float* scores, int64_t stride, vec (&most)[G]) {
  constexpr int T = G <= 2 ? 4 : 2;
  int64_t whole = keys / kTileRows;
  int64_t tile = 0;
  for (; tile + T <= whole; tile += T) {
    scoreTiles<D, G, T>(query, tiles, tile, factor, scores + tile * W, stride, most);
  }
  for (; tile < whole; tile++) {
    scoreTiles<D, G, 1>(query, tiles, tile, factor, scores + tile * W, stride, most);
  }
  if (keys > whole * kTileRows) {
    vec ignored[G];
    for (int g = 0; g < G; g++) {
      ignored[g] = vzero();
    }
    scoreTiles<D, G, 1>(query, tiles, tile, factor, scores + tile * W, stride, ignored);
    for (int g = 0; g < G; g++) {
      float* last = scores + g * stride + tile * W;
      vec score = vkeepOrLeast((1u << (keys - whole * kTileRows)) - 1, vload(last));
      vstore(last, score);
      most[g] = vmax(score, most[g]);
    }
  }
}

/* Weights as bytes: of four keys the first bytes, the second ones, and room for two words, of which the first of a
 * segment is what its integers are worth. */
constexpr int64_t kSecondBytes = 4;
constexpr int64_t kWorth = 2; /* floats from the segment's first */

/* Weights of a segment, floats of `tiles` tiles, to bytes in their place. */
INLINE void segmentToBytes(float* weights, int64_t tiles, vec most) {
  float largest = vmostBits1(most);
  float base = largest < kLeastWeight ? kLeastWeight : largest; /* NaN stays: then the outputs are */
  vec factor = vset(kMostWeight / base);
#pragma GCC unroll 4
  for (int64_t i = 0; i < tiles; i++) {
    istore(weights + i * W, isplitBytes(iround(vmul(vload(weights + i * W), factor))));
  }
  weights[kWorth] = base / kMostWeight;
}

/* Scores to weights in the same memory; returns the sum of the weights before values' scales. */
template <int D>
INLINE float weightsToBytes(const TilesAt<D>& values, int64_t keys, float* scores, vec shift) {
  vec sum = vzero();
  int64_t whole = keys / kTileRows;
  int64_t tiles = tilesOf(keys);
  auto weigh = [&](int64_t tile) __attribute__((always_inline)) {
    vec weight = vexp2(vsub(vload(scores + tile * W), shift));
    sum = vadd(sum, weight);
    return vmul(weight, vload(values.scales(tile)));
  };
  for (int64_t begun = 0; begun < tiles; begun += kSegment) {
    int64_t end = begun + kSegment < whole ? begun + kSegment : whole;
    vec most = vzero();
#pragma GCC unroll 4
    for (int64_t tile = begun; tile < end; tile++) {
      vec weight = weigh(tile);
      vstore(scores + tile * W, weight);
      most = vmostBits(most, weight);
    }
    if (whole < tiles && whole < begun + kSegment) {
      vec weight = vkeep((1u << (keys - whole * kTileRows)) - 1, weigh(whole)); /* scales behind may be anything */
      vstore(scores + whole * W, weight);
      most = vmostBits(most, weight);
      end = tiles;
    }
    segmentToBytes(scores + begun * W, end - begun, most);
  }
  return vsum1(sum);
}

/* total[g][First .. First + N): a pass over the values for so many registers of columns that all sums are in registers. */
template <int D, int G, int First, int N>
INLINE void sumBytes(const TilesAt<D>& values, int64_t tiles, const float* weights, int64_t stride, vec (&total)[G][D]) {
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 8
    for (int n = 0; n < N; n++) {
      total[g][First + n] = vzero();
    }
  }
  for (int64_t begun = 0; begun < tiles; begun += kSegment) {
    int64_t end = begun + kSegment < tiles ? begun + kSegment : tiles;
    ivec high[G][N];
    ivec low[G][N];
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) {
        high[g][n] = low[g][n] = izero();
      }
    }
    for (int64_t tile = begun; tile < end; tile++) {
      const uint8_t* codes = values.codes(tile) + First * 64;
      const float* quads = weights + tile * W;
#pragma GCC unroll 4
      for (int quad = 0; quad < kTileRows / kQuad; quad++) {
        ivec bytes[N];
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) {
          bytes[n] = iload(codes + (quad * D + n) * 64);
        }
#pragma GCC unroll 4
        for (int g = 0; g < G; g++) {
          const float* at = quads + g * stride + quad * kQuad;
          ivec first = ispread(at);
          ivec second = ispread(reinterpret_cast<const uint8_t*>(at) + kSecondBytes);
#pragma GCC unroll 8
          for (int n = 0; n < N; n++) {
            low[g][n] = idotBytes(low[g][n], first, bytes[n]);
            high[g][n] = idotBytes(high[g][n], second, bytes[n]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      vec worth = vset(weights[g * stride + begun * W + kWorth]);
#pragma GCC unroll 8
      for (int n = 0; n < N; n++) {
        total[g][First + n] = vfma(worth, ifloat(iadd(itimes256(high[g][n]), low[g][n])), total[g][First + n]);
      }
    }
  }
}

/* All columns, in passes of at most `Most` registers. */
template <int D, int G, int First = 0>
INLINE void sumAllBytes(const TilesAt<D>& values, int64_t tiles, const float* weights, int64_t stride,
                        vec (&total)[G][D]) {
  constexpr int Most = G == 1 ? 8 : G == 2 ? 4 : 2;
  constexpr int N = D - First < Most ? D - First : Most;
  sumBytes<D, G, First, N>(values, tiles, weights, stride, total);
  if constexpr (First + N < D) {
    sumAllBytes<D, G, First + N>(values, tiles, weights, stride, total);
  }
}

/* Not inlined: GCC keeps sums in memory where it is. */
template <int D, int G>
__attribute__((noinline)) void attendBytes(const TilesAt<D>& keyTiles, const TilesAt<D>& valueTiles, int64_t keys, const float* query, float scale,
                 float* out, float* scores) {
  constexpr int64_t head_dim = W * D;
  int64_t stride = weightStride(keys);
  ByteQuery<D> integers[G];
  vec factor[G];
  vec most[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    loadQuery<D>(query + g * head_dim, integers[g]);
    factor[g] = vset(integers[g].scale * scale * 1.44269504f); /* log2(e) */
    most[g] = vset(-__builtin_inff());
  }
  scoreBytes<D, G>(integers, keyTiles, keys, factor, scores, stride, most);
  float sums[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    sums[g] = weightsToBytes(valueTiles, keys, scores + g * stride, vset(vmax1(most[g])));
  }
  vec total[G][D];
  sumAllBytes<D, G>(valueTiles, tilesOf(keys), scores, stride, total);
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
#pragma GCC unroll 8
    for (int d = 0; d < D; d++) {
      vstore(out + g * head_dim + d * W, vdiv(total[g][d], vset(sums[g])));
    }
  }
}

template <int D>
INLINE void attendGroupBytes(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out,
                             float* scratch) {
  constexpr int64_t head_dim = W * D;
  int64_t* places = reinterpret_cast<int64_t*>(scratch);
  float* scores = scratch + tilePlaces(keys);
  findTiles(item, tilesOf(keys), places);
  TilesAt<D> k{item.keys, places};
  TilesAt<D> v{item.values, places};
  for (int64_t g = 0; g < item.group; g += 4) {
    const float* q = query + g * head_dim;
    float* o = out + g * head_dim;
    switch (item.group - g) {
      case 1: attendBytes<D, 1>(k, v, keys, q, item.scale, o, scores); break;
      case 2: attendBytes<D, 2>(k, v, keys, q, item.scale, o, scores); break;
      case 3: attendBytes<D, 3>(k, v, keys, q, item.scale, o, scores); break;
      default: attendBytes<D, 4>(k, v, keys, q, item.scale, o, scores);
    }
  }
}

/* Whether heads and pages are of sizes that are run here; then it is done. */
bool attendBytes(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores) {
  if (item.page_size % kTileRows != 0) {
    return false;
  }
  switch (item.head_dim) {
    case 32: attendGroupBytes<2>(item, keys, query, out, scores); return true;
    case 64: attendGroupBytes<4>(item, keys, query, out, scores); return true;
    case 96: attendGroupBytes<6>(item, keys, query, out, scores); return true;
    case 128: attendGroupBytes<8>(item, keys, query, out, scores); return true;
    default: return false;
  }
}

} // namespace
#endif
