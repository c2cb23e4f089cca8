/* Keys and values as INT8: a scale for each row of a head, and how their codes lie.
 *
 *   code  = round(x * (127 / max|x|)), half to even     scale = max|x| / 127
 *
 * A page of a head is tiles of 16 rows, of page_size rows where that is no multiple of 16: the codes of a tile, then its
 * scales in F32. In tiles of 16 rows of heads of a multiple of 4, codes lie as 8-bit products want them, so that no lanes
 * are added or moved:
 *
 *   keys    [head_dim / 4][16 rows][4]     four elements of a row are a lane
 *   values  [4][head_dim][4 rows]          an element of four rows is a lane
 *
 * elsewhere row by row. Codes of keys are kept + 128, since the products take one factor without a sign.
 */
#pragma once
#include "int8_impl.h"
#include "kv_impl.h"

namespace {

using lathe::KvPart;

constexpr int64_t kTileRows = 16;

/* How the tiles of a cache lie. */
struct Tiles {
  int64_t head_dim;
  int64_t rows; /* of a tile */
  bool in_quads;

  Tiles(int64_t page_size, int64_t head)
      : head_dim(head), rows(page_size % kTileRows == 0 ? kTileRows : page_size),
        in_quads(rows == kTileRows && head % kQuad == 0) {}
  int64_t bytes() const { return rows * (head_dim + 4); }
  /* Of a page, without a division: where rows are as many as a page has, there is one tile. */
  int64_t tileOf(int64_t row) const { return rows == kTileRows ? row / kTileRows : 0; }
  int64_t rowOf(int64_t row) const { return rows == kTileRows ? row % kTileRows : row; }
  /* Within a tile. */
  int64_t scale(int64_t row) const { return rows * head_dim + row * 4; }
  int64_t code(KvPart part, int64_t row, int64_t d) const {
    return !in_quads               ? row * head_dim + d
           : part == KvPart::KEYS ? d / kQuad * kTileRows * kQuad + row * kQuad + d % kQuad
                                   : row / kQuad * kQuad * head_dim + d * kQuad + row % kQuad;
  }
};

INLINE void writeInt8(uint8_t* page, int64_t page_size, int64_t row, const float* x, int64_t head_dim, KvPart part) {
  float largest = largestOf(x, 0, head_dim);
  bool finite = largest <= kLargestFloat;
  float base = largest < kLeastLargest ? kLeastLargest : largest;
  float scale = finite ? base / kMostByte : __builtin_nanf("");
  vec factor = vset(kMostByte / base);
  Tiles tiles(page_size, head_dim);
  uint8_t* tile = page + tiles.tileOf(row) * tiles.bytes();
  row = tiles.rowOf(row);
  __builtin_memcpy(tile + tiles.scale(row), &scale, 4);
  ivec offset = iround(vset(128));
  for (int64_t d = 0; d < head_dim; d += W) {
    int n = head_dim - d < W ? int(head_dim - d) : W;
    uint8_t codes[W];
    ivec rounded = finite ? iround(vmul(vloadn(x + d, n), factor)) : izero();
    istoreBytes(codes, part == KvPart::KEYS ? iadd(rounded, offset) : rounded);
    uint8_t* to = tile + tiles.code(part, row, d);
    if (!tiles.in_quads) {
      __builtin_memcpy(to, codes, size_t(n));
    } else if (part == KvPart::KEYS) {
      for (int i = 0; i < n; i += int(kQuad)) {
        __builtin_memcpy(to + i * kTileRows, codes + i, kQuad);
      }
    } else {
      for (int i = 0; i < n; i++) {
        to[i * kQuad] = codes[i];
      }
    }
  }
}

void writeKv(uint8_t* page, int64_t page_size, int64_t row, const float* x, int64_t head_dim, Kv type, KvPart part) {
  if (type == Kv::INT8) {
    writeInt8(page, page_size, row, x, head_dim, part);
  } else {
    writeFloats(page + lathe::kvRowBytes(type, head_dim) * row, x, head_dim, type);
  }
}

/* Rows that are made floats at once; a tile may have more, where it is none of 16 rows. */
struct Rows {
  const uint8_t* tile;
  int64_t first; /* row of the tile */
  int64_t count; /* up to kTileRows */
  float scales[kTileRows]; /* 0 behind the last */

  Rows(const Tiles& tiles, const uint8_t* page, int64_t row, int64_t rows)
      : tile(page + tiles.tileOf(row) * tiles.bytes()), first(tiles.rowOf(row)), count(rows), scales{} {
    __builtin_memcpy(scales, tile + tiles.scale(first), size_t(rows) * 4);
  }
};

/* Byte `Index` of each of n words, as signed, times its scale, to floats. Scale may be one or as many as words. */
template <int Index, bool Each>
INLINE void widenBytes(const uint8_t* words, int64_t n, uint32_t flipped, const float* scales, float* out) {
  for (int64_t i = 0; i < n; i++) {
    uint32_t word;
    __builtin_memcpy(&word, words + 4 * i, 4);
    out[i] = (Each ? scales[i] : *scales) * float(int32_t((word ^ flipped) << (24 - 8 * Index)) >> 24);
  }
}

/* Keys as floats, element by element: [head_dim, 16]. Columns behind the last row are 0. */
INLINE void widenKeys(const Tiles& tiles, const Rows& rows, float* out) {
  if (tiles.in_quads) {
    const uint8_t* codes = rows.tile;
    for (int64_t d = 0; d < tiles.head_dim; d += kQuad, codes += kTileRows * kQuad, out += kTileRows * kQuad) {
      widenBytes<0, true>(codes, kTileRows, 0x80808080, rows.scales, out);
      widenBytes<1, true>(codes, kTileRows, 0x80808080, rows.scales, out + kTileRows);
      widenBytes<2, true>(codes, kTileRows, 0x80808080, rows.scales, out + 2 * kTileRows);
      widenBytes<3, true>(codes, kTileRows, 0x80808080, rows.scales, out + 3 * kTileRows);
    }
    return;
  }
  for (int64_t r = 0; r < kTileRows; r++) {
    const uint8_t* codes = rows.tile + (rows.first + r) * tiles.head_dim;
    for (int64_t d = 0; d < tiles.head_dim; d++) {
      out[d * kTileRows + r] = r < rows.count ? rows.scales[r] * float(int(codes[d]) - 128) : 0;
    }
  }
}

/* Values as floats, row by row: [rows, head_dim], of room for 16. */
INLINE void widenValues(const Tiles& tiles, const Rows& rows, float* out) {
  int64_t head_dim = tiles.head_dim;
  if (tiles.in_quads) {
    for (int64_t r = 0; r < rows.count; r += kQuad, out += kQuad * head_dim) {
      const uint8_t* codes = rows.tile + r * head_dim;
      widenBytes<0, false>(codes, head_dim, 0, rows.scales + r, out);
      widenBytes<1, false>(codes, head_dim, 0, rows.scales + r + 1, out + head_dim);
      widenBytes<2, false>(codes, head_dim, 0, rows.scales + r + 2, out + 2 * head_dim);
      widenBytes<3, false>(codes, head_dim, 0, rows.scales + r + 3, out + 3 * head_dim);
    }
    return;
  }
  for (int64_t r = 0; r < rows.count; r++) {
    const int8_t* codes = reinterpret_cast<const int8_t*>(rows.tile + (rows.first + r) * head_dim);
    for (int64_t d = 0; d < head_dim; d++) {
      out[r * head_dim + d] = rows.scales[r] * float(codes[d]);
    }
  }
}

/* Floats of 16 keys or values. */
INLINE int64_t wideRows(int64_t head_dim) { return kTileRows * head_dim; }

/* Calls body(rows, key of the first) for up to 16 rows at a time, among them keys first to last of a sequence. */
template <class F>
INLINE void overRowsOf(const Tiles& tiles, const lathe::AttentionItem& item, const uint8_t* base, int64_t first,
                       int64_t last, F body) {
  for (int64_t page = first / item.page_size; page * item.page_size < last; page++) {
    const uint8_t* at = base + item.page_stride * item.blocks[page];
    int64_t start = page * item.page_size;
    int64_t held = last - start < item.page_size ? last - start : item.page_size;
    int64_t row = first > start ? (first - start) / kTileRows * kTileRows : 0;
    for (; row < held; row += kTileRows) {
      body(Rows(tiles, at, row, held - row < kTileRows ? held - row : kTileRows), start + row);
    }
  }
}

/* scores[j - first] = query . key[j], of keys `at` to at + rows. */
INLINE void scoreRows(const float* query, const float* keys, int64_t head_dim, int64_t at, int64_t rows, int64_t first,
                      float* scores) {
  constexpr int64_t N = kTileRows / W;
  float tile[kTileRows];
  vec acc[N];
  for (int64_t i = 0; i < N; i++) {
    acc[i] = vzero();
  }
  for (int64_t d = 0; d < head_dim; d++) {
    for (int64_t i = 0; i < N; i++) {
      acc[i] = vfma(vset(query[d]), vload(keys + d * kTileRows + i * W), acc[i]);
    }
  }
  for (int64_t i = 0; i < N; i++) {
    vstore(tile + i * W, acc[i]);
  }
  int64_t skipped = first > at ? first - at : 0;
  __builtin_memcpy(scores + at + skipped - first, tile + skipped, size_t(rows - skipped) * 4);
}

/* out[d] += sum_j weights[j - first] values[j][d] */
INLINE void weighRows(const float* weights, const float* values, int64_t head_dim, int64_t at, int64_t rows,
                      int64_t first, float* out) {
  int64_t skipped = first > at ? first - at : 0;
  for (int64_t d = 0; d < head_dim; d += W) {
    int n = head_dim - d < W ? int(head_dim - d) : W;
    vec acc = vloadn(out + d, n);
    for (int64_t r = skipped; r < rows; r++) {
      acc = vfma(vset(weights[at + r - first]), vloadn(values + r * head_dim + d, n), acc);
    }
    vstoren(out + d, acc, n);
  }
}

/* Any head and page, in F32: the query heads of a key/value head over keys first to last. weigh(scores, n) makes weights
 * of scores and returns their sum. scratch: a row of scores a head, then wideRows. */
template <class F>
INLINE void attendInt8(const lathe::AttentionItem& item, const float* query, float* out, int64_t first,
                            int64_t last, int64_t stride, float* scratch, F weigh) {
  int64_t head_dim = item.head_dim;
  Tiles tiles(item.page_size, head_dim);
  float* wide = scratch + item.group * stride;
  overRowsOf(tiles, item, item.keys, first, last, [&](const Rows& rows, int64_t at) {
    widenKeys(tiles, rows, wide);
    for (int64_t g = 0; g < item.group; g++) {
      scoreRows(query + g * head_dim, wide, head_dim, at, rows.count, first, scratch + g * stride);
    }
  });
  for (int64_t g = 0; g < item.group; g++) {
    float* weights = scratch + g * stride;
    float sum = weigh(weights, last - first);
    for (int64_t j = 0; j < last - first; j++) {
      weights[j] /= sum; /* here, so that no sum is kept for each head */
    }
    for (int64_t d = 0; d < head_dim; d++) {
      out[g * head_dim + d] = 0;
    }
  }
  overRowsOf(tiles, item, item.values, first, last, [&](const Rows& rows, int64_t at) {
    widenValues(tiles, rows, wide);
    for (int64_t g = 0; g < item.group; g++) {
      weighRows(scratch + g * stride, wide, head_dim, at, rows.count, first, out + g * head_dim);
    }
  });
}

} // namespace
