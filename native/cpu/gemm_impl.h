/* Many tokens: y[t, r] = sum_c x[t, c] w[r, c] with the same sums as dot_impl.h, kept near.
 *
 * A panel of rows is widened to F32 once for all tokens (F32 weights are a panel as they lie). For each tile of tokens,
 * a block of kBlockColumns columns of the tokens stays in L1 while all rows of the panel pass it; the accumulator
 * vectors of a block that is not the last wait in memory, unsummed, so that the order of the sum stays the same.
 */
#pragma once
#include "dot_impl.h"

namespace {

constexpr int64_t kBlockColumns = 512;
constexpr int64_t kCachedBytes = 1 << 20;
constexpr int64_t kPanelFloats = 64 * 1024;

INLINE int64_t padded(int64_t cols) { return (cols + 15) / 16 * 16; }
INLINE int64_t panelRows(int64_t cols) {
  int64_t rows = kPanelFloats / padded(cols) / 4 * 4;
  return rows < 4 ? 4 : rows > 64 ? 64 : rows;
}
int64_t linearScratch(int64_t cols) { return panelRows(cols) * (padded(cols) + kTileTokens * W); }

template <int R, int T>
void blockTile(const uint8_t* panel, int64_t stride_bytes, int64_t r, const float* x, int64_t x_stride, int64_t from,
               int64_t to, int64_t cols, float* waiting, int64_t row, int64_t t, const Finish& finish) {
  F32Row rows[R];
#pragma GCC unroll 8
  for (int i = 0; i < R; i++) {
    rows[i] = {panel + (r + i) * stride_bytes};
  }
  vec acc[R][T];
  float* mine = waiting + r * kTileTokens * W;
#pragma GCC unroll 8
  for (int i = 0; i < R; i++) {
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      acc[i][j] = from == 0 ? vzero() : vload(mine + (i * T + j) * W);
    }
  }
  accumulate<false, F32Row, R, T>(rows, x + t * x_stride, x_stride, from, to, 0, acc);
  if (to == cols) {
    finish.tile<R, T>(row + r, t, acc);
  } else {
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
#pragma GCC unroll 8
      for (int j = 0; j < T; j++) {
        vstore(mine + (i * T + j) * W, acc[i][j]);
      }
    }
  }
}

template <int T>
void panelTokens(int64_t tokens, const uint8_t* panel, int64_t stride_bytes, int64_t rows, const float* x,
                 int64_t x_stride, int64_t cols, float* waiting, int64_t row, int64_t t, const Finish& finish) {
  if constexpr (T > 1) {
    if (tokens < T) {
      panelTokens<T - 1>(tokens, panel, stride_bytes, rows, x, x_stride, cols, waiting, row, t, finish);
      return;
    }
  }
  for (int64_t from = 0; from < cols; from += kBlockColumns) {
    int64_t to = from + kBlockColumns < cols ? from + kBlockColumns : cols;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
      blockTile<4, T>(panel, stride_bytes, r, x, x_stride, from, to, cols, waiting, row, t, finish);
    }
    for (; r < rows; r++) {
      blockTile<1, T>(panel, stride_bytes, r, x, x_stride, from, to, cols, waiting, row, t, finish);
    }
  }
}

void linear(const lathe_weight& w, int64_t row0, int64_t row1, const float* x, int64_t x_stride, int64_t tokens,
            float* out, int64_t out_stride, const float* bias, bool add, float* scratch) {
  /* `out` and `bias` come at row0's column; Finish counts rows from 0. */
  Finish finish{out - row0, out_stride, scaledAtEnd(w) ? &w : nullptr, bias ? bias - row0 : nullptr, add};
  bool oddGroups = w.kind == LATHE_INT8 && w.groups > 1 && w.group_size % W != 0;
  bool few = tokens <= 4 * kTileTokens;
  if (few && !oddGroups) {
    Groups groups{w.cols, w.kind == LATHE_INT8 ? w.group_size : w.cols};
    /* A matrix that the caches may hold from call to call needs no fetching, which would take time. */
    if (bytesOfRow(w) * w.rows > kCachedBytes) {
      withRow(w, [&]<class Row>(Row*) { dotRows<true, Row>(w, row0, row1, groups, x, x_stride, tokens, finish); });
    } else {
      withRow(w, [&]<class Row>(Row*) { dotRows<false, Row>(w, row0, row1, groups, x, x_stride, tokens, finish); });
    }
    return;
  }
  int64_t step = panelRows(w.cols);
  int64_t width = padded(w.cols);
  float* waiting = scratch;
  float* panel = scratch + step * kTileTokens * W;
  for (int64_t row = row0; row < row1; row += step) {
    int64_t rows = row + step < row1 ? step : row1 - row;
    const uint8_t* from;
    int64_t stride_bytes;
    if (w.kind == LATHE_F32) {
      from = w.values + 4 * row * w.value_stride;
      stride_bytes = 4 * w.value_stride;
    } else {
      for (int64_t r = 0; r < rows; r++) {
        widen(w, row + r, panel + r * width);
      }
      from = reinterpret_cast<const uint8_t*>(panel);
      stride_bytes = 4 * width;
    }
    tokenTiles(tokens, [&](int64_t t, int64_t n) {
      panelTokens<kTileTokens>(n, from, stride_bytes, rows, x, x_stride, w.cols, waiting, row, t, finish);
    });
  }
}

} // namespace
