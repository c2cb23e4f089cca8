/* y[t, r] = sum_c x[t, c] w[r, c] for small INT8 matrices, from blocks of 16 rows with columns outermost.
 *
 *   packed  [rows / 16][cols][16] int8
 *
 * A register holds one column of W rows, so that a sum stays in its lane: no lanes are added at the end, which costs as
 * much as the products themselves where rows are 128 columns short. Every sum is one lane for ascending c, for any number
 * of tokens and any part of the rows: a token gets the same bits alone, in a batch and in a prompt.
 */
#pragma once
#include "dot_impl.h"

namespace {

constexpr int kPackedRows = LATHE_PACKED_ROWS;
static_assert(kPackedRows % W == 0);

/* Strips of W rows by tokens that fit the registers: 32 of 16 lanes, 16 of fewer. */
constexpr int kPackedTokens = W == 16 ? 8 : 4;
constexpr int packedStrips(int tokens) {
  return tokens == 1 ? 8 : W == 16 ? (tokens <= 4 ? 4 : 2) : (tokens == 2 ? 4 : 2);
}

INLINE vec packedScales(const lathe_weight& w, int64_t r) {
  if (w.scale_type == LATHE_SCALE_F32) {
    return vload(w.scales + 4 * r);
  }
  return w.scale_type == LATHE_SCALE_BF16 ? vloadBf16(w.scales + 2 * r) : vset(1);
}

template <bool Zero, int S, int T>
void packedTile(const lathe_weight& w, int64_t r, const float* x, int64_t x_stride, int64_t t, const Finish& finish) {
  const uint8_t* strips[S];
  vec zeros[S];
  vec acc[S][T];
#pragma GCC unroll 8
  for (int i = 0; i < S; i++) {
    int64_t row = r + i * W;
    strips[i] = w.packed + row / kPackedRows * kPackedRows * w.cols + row % kPackedRows;
    zeros[i] = Zero ? vloadI8(w.zeros + row) : vzero();
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      acc[i][j] = vzero();
    }
  }
  const float* tokens = x + t * x_stride;
  for (int64_t c = 0; c < w.cols; c++) {
    vec v[S];
#pragma GCC unroll 8
    for (int i = 0; i < S; i++) {
      v[i] = vloadI8(strips[i] + c * kPackedRows);
      if (Zero) {
        v[i] = vsub(v[i], zeros[i]);
      }
    }
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      vec element = vset(tokens[j * x_stride + c]);
#pragma GCC unroll 8
      for (int i = 0; i < S; i++) {
        acc[i][j] = vfma(v[i], element, acc[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < S; i++) {
    int64_t row = r + i * W;
    vec scales = packedScales(w, row);
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      float* to = finish.out + (t + j) * finish.stride + row;
      vec sum = vmul(acc[i][j], scales);
      if (finish.bias) {
        sum = vadd(sum, vload(finish.bias + row));
      }
      if (finish.add) {
        sum = vadd(vload(to), sum);
      }
      vstore(to, sum);
    }
  }
}

/* Rows in tiles of S strips, then of half as many. */
template <bool Zero, int S, int T>
INLINE void packedStripes(const lathe_weight& w, int64_t r, int64_t row1, const float* x, int64_t x_stride, int64_t t,
                          const Finish& finish) {
  for (; r + S * W <= row1; r += S * W) {
    packedTile<Zero, S, T>(w, r, x, x_stride, t, finish);
  }
  if constexpr (S > 1) {
    packedStripes<Zero, S / 2, T>(w, r, row1, x, x_stride, t, finish);
  }
}

template <bool Zero, int T>
INLINE void packedTokens(int64_t n, const lathe_weight& w, int64_t row0, int64_t row1, const float* x,
                         int64_t x_stride, int64_t t, const Finish& finish) {
  if constexpr (T > 1) {
    if (n < T) {
      packedTokens<Zero, T - 1>(n, w, row0, row1, x, x_stride, t, finish);
      return;
    }
  }
  packedStripes<Zero, packedStrips(T), T>(w, row0, row1, x, x_stride, t, finish);
}

/* row0 and row1 are multiples of kPackedRows. */
void packedLinear(const lathe_weight& w, int64_t row0, int64_t row1, const float* x, int64_t x_stride, int64_t tokens,
                  const Finish& finish) {
  int64_t tiles = (tokens + kPackedTokens - 1) / kPackedTokens;
  for (int64_t i = 0, t = 0; i < tiles; i++) {
    int64_t n = (tokens - t + tiles - i - 1) / (tiles - i);
    if (w.zeros) {
      packedTokens<true, kPackedTokens>(n, w, row0, row1, x, x_stride, t, finish);
    } else {
      packedTokens<false, kPackedTokens>(n, w, row0, row1, x, x_stride, t, finish);
    }
    t += n;
  }
}

} // namespace
