/* y[t, r] = sum_c x[t, c] w[r, c]: dot products of rows, in registers.
 *
 * Weights and activations both lie row by row, so vectors run along c and nothing is packed or transposed: a mapped file
 * is multiplied as it lies. One accumulator vector for each (row, token), filled for ascending c and summed by vsum4's
 * tree at the end: the order of the sum depends on neither the tile, the number of tokens nor the number of threads,
 * and a token gets the same bits alone, in a batch and in a prompt.
 *
 * 1 token: kGemvRows rows at once, bound by memory. A few: 4 rows by up to kTileTokens, the weights loaded once for all
 * of them. Many: panels of rows are widened to F32 once, and tiles go over blocks of columns that stay in L1.
 */
#pragma once
#include "kernels.h"

namespace {

/* A row of weights as vectors of floats. full(c) and part(c, n) are called for ascending c, each once. */
struct F32Row {
  const uint8_t* p;
  void group(int64_t) {}
  INLINE void ahead(int64_t c, int64_t bytes) { __builtin_prefetch(p + 4 * c + bytes, 0, 2); }
  INLINE vec full(int64_t c) { return vload(p + 4 * c); }
  INLINE vec part(int64_t c, int n) { return vloadn(p + 4 * c, n); }
};
struct Bf16Row {
  const uint8_t* p;
  void group(int64_t) {}
  INLINE void ahead(int64_t c, int64_t bytes) { __builtin_prefetch(p + 2 * c + bytes, 0, 2); }
  INLINE vec full(int64_t c) { return vloadBf16(p + 2 * c); }
  INLINE vec part(int64_t c, int n) { return vloadnBf16(p + 2 * c, n); }
};
struct F16Row {
  const uint8_t* p;
  void group(int64_t) {}
  INLINE void ahead(int64_t c, int64_t bytes) { __builtin_prefetch(p + 2 * c + bytes, 0, 2); }
  INLINE vec full(int64_t c) { return vloadF16(p + 2 * c); }
  INLINE vec part(int64_t c, int n) { return vloadnF16(p + 2 * c, n); }
};

INLINE float readF32(const uint8_t* p) {
  float value;
  __builtin_memcpy(&value, p, 4);
  return value;
}
INLINE int64_t readI64(const uint8_t* p) {
  int64_t value;
  __builtin_memcpy(&value, p, 8);
  return value;
}
INLINE float scaleAt(const lathe_weight& w, int64_t index) {
  if (w.scale_type == LATHE_SCALE_F32) {
    return readF32(w.scales + 4 * index);
  }
  if (w.scale_type == LATHE_SCALE_BF16) {
    uint16_t half;
    __builtin_memcpy(&half, w.scales + 2 * index, 2);
    uint32_t bits = uint32_t(half) << 16;
    float value;
    __builtin_memcpy(&value, &bits, 4);
    return value;
  }
  return 1;
}
/* Those of four rows with one scale each. */
INLINE four scalesAt(const lathe_weight& w, int64_t index) {
  if (w.scale_type == LATHE_SCALE_F32) {
    four scales;
    __builtin_memcpy(&scales, w.scales + 4 * index, sizeof scales);
    return scales;
  }
  return four{scaleAt(w, index), scaleAt(w, index + 1), scaleAt(w, index + 2), scaleAt(w, index + 3)};
}
INLINE float zeroAt(const lathe_weight& w, int64_t index) { return w.zeros ? float(int8_t(w.zeros[index])) : 0; }

/* With one group a row the scale waits until the sum is done; with more, each vector gets its group's. */
template <bool Zero, bool Grouped> struct Int8Row {
  const uint8_t* p;
  const lathe_weight* w;
  int64_t index;
  vec zero;
  vec scale;
  INLINE void group(int64_t g) {
    if (Zero) {
      zero = vset(zeroAt(*w, index + g));
    }
    if (Grouped) {
      scale = vset(scaleAt(*w, index + g));
    }
  }
  INLINE vec finish(vec v) {
    if (Zero) {
      v = vsub(v, zero);
    }
    return Grouped ? vmul(v, scale) : v;
  }
  INLINE void ahead(int64_t c, int64_t bytes) { __builtin_prefetch(p + c + bytes, 0, 2); }
  INLINE vec full(int64_t c) { return finish(vloadI8(p + c)); }
  INLINE vec part(int64_t c, int n) { return finish(vloadnI8(p + c, n)); }
};

template <int Kind, bool Zero> struct BitmapRow {
  const uint8_t* p;
  const uint8_t* end; /* of all kept values */
  const uint8_t* bitmap;
  vec zero;
  static constexpr int kBytes = Kind == LATHE_BITMAP_F32 ? 4 : Kind == LATHE_BITMAP_INT8 ? 1 : 2;
  void group(int64_t) {}
  INLINE void ahead(int64_t, int64_t bytes) { __builtin_prefetch(p + bytes, 0, 2); }
  INLINE vec packed(int n) {
    if (Kind == LATHE_BITMAP_F32) {
      return p + 4 * W <= end ? vload(p) : vloadn(p, n);
    }
    if (Kind == LATHE_BITMAP_INT8) {
      return p + 16 <= end ? vloadI8(p) : vloadnI8(p, n);
    }
    bool room = p + 32 <= end;
    if (Kind == LATHE_BITMAP_BF16) {
      return room ? vloadBf16(p) : vloadnBf16(p, n);
    }
    return room ? vloadF16(p) : vloadnF16(p, n);
  }
  INLINE vec part(int64_t c, int n) {
    uint32_t mask = vbits(bitmap, c, n);
    int kept = __builtin_popcount(mask);
    vec v = vexpand(mask, packed(kept));
    p += kBytes * kept;
    return Zero ? vkeep(mask, vsub(v, zero)) : v;
  }
  INLINE vec full(int64_t c) { return part(c, W); }
};

INLINE F32Row rowOf(const lathe_weight& w, int64_t r, F32Row*) { return {w.values + 4 * r * w.value_stride}; }
INLINE Bf16Row rowOf(const lathe_weight& w, int64_t r, Bf16Row*) { return {w.values + 2 * r * w.value_stride}; }
INLINE F16Row rowOf(const lathe_weight& w, int64_t r, F16Row*) { return {w.values + 2 * r * w.value_stride}; }
template <bool Z, bool G> INLINE Int8Row<Z, G> rowOf(const lathe_weight& w, int64_t r, Int8Row<Z, G>*) {
  return {w.values + r * w.value_stride, &w, r * w.groups, vzero(), vzero()};
}
template <int K, bool Z> INLINE BitmapRow<K, Z> rowOf(const lathe_weight& w, int64_t r, BitmapRow<K, Z>*) {
  constexpr int bytes = BitmapRow<K, Z>::kBytes;
  return {w.values + bytes * readI64(w.offsets + 8 * r), w.values + bytes * readI64(w.offsets + 8 * w.rows),
          w.bitmap + r * w.bitmap_stride, vset(zeroAt(w, r))};
}

/* What becomes of a sum: out = [out +] sum * scale[r] + bias[r]. */
struct Finish {
  float* out; /* of row 0 and token 0 */
  int64_t stride;
  const lathe_weight* scaled; /* null where sums need no scale */
  const float* bias;
  bool add;

  INLINE void one(int64_t r, int64_t t, float sum) const {
    if (scaled) {
      sum *= scaleAt(*scaled, r);
    }
    if (bias) {
      sum += bias[r];
    }
    float* to = out + t * stride + r;
    *to = add ? *to + sum : sum;
  }
  template <int R, int T> INLINE void tile(int64_t r, int64_t t, const vec (&acc)[R][T]) const {
    if constexpr (R % 4 == 0) {
      for (int i = 0; i < R; i += 4) {
        four factor = {1, 1, 1, 1};
        four shift = {0, 0, 0, 0};
        if (scaled) {
          factor = scalesAt(*scaled, r + i);
        }
        if (bias) {
          __builtin_memcpy(&shift, bias + r + i, sizeof shift);
        }
#ifdef LATHE_SUM_16
        if constexpr (T == 4) {
          vec sum = vsum16(acc[i], acc[i + 1], acc[i + 2], acc[i + 3]);
          if (scaled) {
            sum = vmul(sum, vfours(factor));
          }
          if (bias) {
            sum = vadd(sum, vfours(shift));
          }
          vstoreFours(out + t * stride + r + i, stride, sum, add);
          continue;
        }
#endif
        for (int j = 0; j < T; j++) {
          float sums[4];
          vsum4(acc[i][j], acc[i + 1][j], acc[i + 2][j], acc[i + 3][j], sums);
          four sum;
          __builtin_memcpy(&sum, sums, sizeof sum);
          float* to = out + (t + j) * stride + r + i;
          if (scaled) {
            sum *= factor;
          }
          if (bias) {
            sum += shift;
          }
          if (add) {
            four old;
            __builtin_memcpy(&old, to, sizeof old);
            sum = old + sum;
          }
          __builtin_memcpy(to, &sum, sizeof sum);
        }
      }
    } else {
      for (int j = 0; j < T; j++) {
        for (int i = 0; i < R; i++) {
          one(r + i, t + j, vsum1(acc[i][j]));
        }
      }
    }
  }
};

/* acc[i][j] += rows[i][from:to] . x[j][from:to]. Where `Ahead`, what lies `ahead` bytes further is fetched into the
 * second-level cache: the rows of the next tile, which the hardware does not foresee. */
template <bool Ahead, class Row, int R, int T>
INLINE void accumulate(Row (&rows)[R], const float* x, int64_t x_stride, int64_t from, int64_t to, int64_t ahead,
                       vec (&acc)[R][T]) {
  int64_t c = from;
  for (; c + W <= to; c += W) {
    vec w[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      if (Ahead) {
        rows[i].ahead(c, ahead);
      }
      w[i] = rows[i].full(c);
    }
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      vec v = vload(x + j * x_stride + c);
#pragma GCC unroll 8
      for (int i = 0; i < R; i++) {
        acc[i][j] = vfma(v, w[i], acc[i][j]);
      }
    }
  }
  if (c < to) {
    int n = int(to - c);
    vec w[R];
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      w[i] = rows[i].part(c, n);
    }
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      vec v = vloadn(x + j * x_stride + c, n);
#pragma GCC unroll 8
      for (int i = 0; i < R; i++) {
        acc[i][j] = vfma(v, w[i], acc[i][j]);
      }
    }
  }
}

struct Groups {
  int64_t cols;
  int64_t size; /* a multiple of W, or cols */
};

/* From a row to the next; a bitmap's rows differ, and some lines ahead of each are near enough. */
INLINE int64_t bytesOfRow(const lathe_weight& w) {
  switch (w.kind) {
    case LATHE_F32: return 4 * w.value_stride;
    case LATHE_BF16:
    case LATHE_F16: return 2 * w.value_stride;
    case LATHE_INT8: return w.value_stride;
    default: return 512;
  }
}

template <bool Ahead, class Row, int R, int T>
void dotTile(const lathe_weight& w, int64_t r, Groups groups, const float* x, int64_t x_stride, int64_t t,
             const Finish& finish) {
  Row rows[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++) {
    rows[i] = rowOf(w, r + i, static_cast<Row*>(nullptr));
  }
  vec acc[R][T];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      acc[i][j] = vzero();
    }
  }
  const float* tokens = x + t * x_stride;
  int64_t ahead = Ahead ? R * bytesOfRow(w) : 0;
  for (int64_t from = 0, g = 0; from < groups.cols; from += groups.size, g++) {
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      rows[i].group(g);
    }
    int64_t to = from + groups.size < groups.cols ? from + groups.size : groups.cols;
    accumulate<Ahead, Row, R, T>(rows, tokens, x_stride, from, to, ahead, acc);
  }
  finish.tile<R, T>(r, t, acc);
}

template <bool Ahead, class Row, int R, int T>
INLINE void dotTokens(int64_t tokens, const lathe_weight& w, int64_t r, Groups groups, const float* x, int64_t x_stride,
                      int64_t t, const Finish& finish) {
  if constexpr (T > 1) {
    if (tokens < T) {
      dotTokens<Ahead, Row, R, T - 1>(tokens, w, r, groups, x, x_stride, t, finish);
      return;
    }
  }
  dotTile<Ahead, Row, R, T>(w, r, groups, x, x_stride, t, finish);
}

/* Splits tokens into tiles of nearly equal size: 7 are 4 and 3, not 6 and 1. */
template <class F> INLINE void tokenTiles(int64_t tokens, F body) {
  int64_t tiles = (tokens + kTileTokens - 1) / kTileTokens;
  for (int64_t i = 0, t = 0; i < tiles; i++) {
    int64_t n = (tokens - t + tiles - i - 1) / (tiles - i);
    body(t, n);
    t += n;
  }
}

template <bool Ahead, class Row>
void dotRows(const lathe_weight& w, int64_t row0, int64_t row1, Groups groups, const float* x, int64_t x_stride,
             int64_t tokens, const Finish& finish) {
  int64_t r = row0;
  if (tokens == 1) {
    for (; r + kGemvRows <= row1; r += kGemvRows) {
      dotTile<Ahead, Row, kGemvRows, 1>(w, r, groups, x, x_stride, 0, finish);
    }
  }
  for (; r + 4 <= row1; r += 4) {
    tokenTiles(tokens, [&](int64_t t, int64_t n) {
      dotTokens<Ahead, Row, 4, kTileTokens>(n, w, r, groups, x, x_stride, t, finish);
    });
  }
  for (; r < row1; r++) {
    tokenTiles(tokens, [&](int64_t t, int64_t n) {
      dotTokens<Ahead, Row, 1, kTileTokens>(n, w, r, groups, x, x_stride, t, finish);
    });
  }
}

/* Calls body with the type of a matrix's rows. */
template <class F> INLINE void withRow(const lathe_weight& w, F body) {
  bool zero = w.zeros != nullptr;
  switch (w.kind) {
    case LATHE_F32: return body(static_cast<F32Row*>(nullptr));
    case LATHE_BF16: return body(static_cast<Bf16Row*>(nullptr));
    case LATHE_F16: return body(static_cast<F16Row*>(nullptr));
    case LATHE_INT8:
      if (w.groups > 1) {
        return zero ? body(static_cast<Int8Row<true, true>*>(nullptr)) : body(static_cast<Int8Row<false, true>*>(nullptr));
      }
      return zero ? body(static_cast<Int8Row<true, false>*>(nullptr)) : body(static_cast<Int8Row<false, false>*>(nullptr));
    case LATHE_BITMAP_F32: return body(static_cast<BitmapRow<LATHE_BITMAP_F32, false>*>(nullptr));
    case LATHE_BITMAP_BF16: return body(static_cast<BitmapRow<LATHE_BITMAP_BF16, false>*>(nullptr));
    case LATHE_BITMAP_F16: return body(static_cast<BitmapRow<LATHE_BITMAP_F16, false>*>(nullptr));
    default:
      return zero ? body(static_cast<BitmapRow<LATHE_BITMAP_INT8, true>*>(nullptr))
                  : body(static_cast<BitmapRow<LATHE_BITMAP_INT8, false>*>(nullptr));
  }
}

/* Sums of INT8 with one scale a row are scaled once, at their end. */
INLINE bool scaledAtEnd(const lathe_weight& w) {
  return (w.kind == LATHE_INT8 && w.groups == 1) || w.kind == LATHE_BITMAP_INT8;
}

/* A row as floats, without the scale that the sum gets at its end. */
void widen(const lathe_weight& w, int64_t r, float* out) {
  if (w.kind == LATHE_INT8 && w.groups > 1 && w.group_size % W != 0) {
    for (int64_t c = 0; c < w.cols; c++) {
      int64_t g = r * w.groups + c / w.group_size;
      out[c] = (float(int8_t(w.values[r * w.value_stride + c])) - zeroAt(w, g)) * scaleAt(w, g);
    }
    return;
  }
  int64_t size = w.kind == LATHE_INT8 ? w.group_size : w.cols;
  withRow(w, [&]<class Row>(Row*) {
    Row row = rowOf(w, r, static_cast<Row*>(nullptr));
    for (int64_t from = 0, g = 0; from < w.cols; from += size, g++) {
      row.group(g);
      int64_t to = from + size < w.cols ? from + size : w.cols;
      int64_t c = from;
      for (; c + W <= to; c += W) {
        vstore(out + c, row.full(c));
      }
      if (c < to) {
        vstoren(out + c, row.part(c, int(to - c)), int(to - c));
      }
    }
  });
}

void dequantize(const lathe_weight& w, int64_t r, float* out) {
  widen(w, r, out);
  if (scaledAtEnd(w)) {
    float scale = scaleAt(w, r);
    for (int64_t c = 0; c < w.cols; c++) {
      out[c] *= scale;
    }
  }
}

} // namespace
