/* y[t, r] = sum_c x[t, c] w[r, c] of INT8 weights in integers, summed in 32 bits without rounding.
 *
 * x becomes integers first (lathe::Integers). Of 16 bits, in blocks of kIntegerBlock columns of a token with a scale each: an
 * element is off by at most half a step, 1 / 65,534 of the largest of its block, and the rounding of the step. Of 8 bits
 * where the weight says so (activation_bits), with one scale a token: a step is 1 / 127 of the token's largest. Within a
 * segment, the columns that share the block and the group of W's scales, sums are exact, whatever the order; segments are
 * added as floats for ascending c. So a token gets the same bits alone, in a batch and in a prompt, on any number of
 * threads.
 *
 *   packed  [rows / 16][cols / 4][16][4] uint8 = w + 128, of four columns in the order 0, 2, 1, 3
 *
 * A lane of a register holds four columns of a row: the even bytes of the register are columns 0 and 1 as 16-bit integers,
 * the odd bytes 2 and 3, which are multiplied with pairs of x in the order in which they lie. Bytes of x lie in the same
 * order as those of w and are multiplied with all four at once; where the instruction set has no such product, 8 bits of x
 * are kept and multiplied in 16. No lanes are added at the end. The 128 is taken off again where a sum starts: at -128
 * times the sum of x. Sums on the way may wrap, the last one fits.
 */
#pragma once
#include "gemm_impl.h"

namespace {

constexpr int64_t kPackedRows = LATHE_PACKED_ROWS;
static_assert(kPackedRows % W == 0);
constexpr int64_t kQuad = 4; /* columns of a lane */
constexpr int kIntegerTokens = lathe::kIntegerTokens;
constexpr float kMostInteger = 32767;
constexpr float kMostByte = 127;
constexpr float kLargestFloat = 3.402823466e38f;
constexpr float kLeastLargest = 1e-30f; /* in the place of a smaller max|x|, so that its inverse is a number */

/* Strips of W rows by tokens that fit the registers, of which bytes of x leave more. */
template <typename Integer> constexpr int integerStrips(int tokens) {
  return W == 16 ? (tokens == 1 ? 8 : tokens == 2 || sizeof(Integer) == 1 ? 4 : 2)
                 : (tokens == 1 ? 4 : tokens == 2 ? 2 : 1);
}

/* A token's quads of integers among those of the other tokens of its tile. */
template <typename Integer> struct TokenQuads {
  Integer* first;
  int64_t step; /* integers from a quad to the next */
  TokenQuads(const lathe::Integers& x, int64_t t) {
    int64_t start = t / kIntegerTokens * kIntegerTokens;
    int64_t tokens = x.tokens - start < kIntegerTokens ? x.tokens - start : kIntegerTokens;
    first = reinterpret_cast<Integer*>(x.values) + start * x.width + (t - start) * kQuad;
    step = tokens * kQuad;
  }
};


/* The largest size in a row from `from` to `to`; what is no number counts as larger than infinity. */
INLINE float largestOf(const float* row, int64_t from, int64_t to) {
  vec most[2] = {vzero(), vzero()};
  int64_t c = from;
  for (; c + 2 * W <= to; c += 2 * W) {
    most[0] = vmostBits(most[0], vload(row + c));
    most[1] = vmostBits(most[1], vload(row + c + W));
  }
  for (; c < to; c += W) {
    most[0] = vmostBits(most[0], to - c < W ? vloadn(row + c, int(to - c)) : vload(row + c));
  }
  return vmostBits1(vmostBits(most[0], most[1]));
}

INLINE void storeQuads(int16_t* out, int64_t step, ivec q) { istoreQuads(out, step, q); }
#ifdef LATHE_DOTS_BYTES
INLINE void storeQuads(int8_t* out, int64_t step, ivec q) { istoreByteQuads(out, step, q); }
#endif

/* x * inverse of some columns, rounded, to quads that are `step` apart; returns the sum of the integers. */
template <typename Integer>
INLINE int32_t roundSegment(const float* x, int64_t cols, float inverse, Integer* out, int64_t step) {
  vec factor = vset(inverse);
  ivec sum = izero();
  int64_t c = 0;
  for (; c + W <= cols; c += W, out += W / kQuad * step) {
    ivec q = iround(vmul(vload(x + c), factor));
    storeQuads(out, step, q);
    sum = iadd(sum, q);
  }
  if (c < cols) {
    int n = int(cols - c);
    ivec q = iround(vmul(vloadn(x + c, n), factor));
    Integer narrow[W];
    storeQuads(narrow, kQuad, q);
    for (int i = 0; i < n; i += int(kQuad), out += step) {
      __builtin_memcpy(out, narrow + i, kQuad * sizeof(Integer));
    }
    sum = iadd(sum, q);
  }
  return isum1(sum);
}

template <typename Integer>
INLINE void roundTokens(const float* x, int64_t x_stride, int64_t cols, const lathe::Integers& to, int64_t token0,
                        int64_t token1) {
  float most = to.bits == 8 ? kMostByte : kMostInteger;
  for (int64_t t = token0; t < token1; t++) {
    const float* row = x + t * x_stride;
    TokenQuads<Integer> quads(to, t);
    int64_t at = t;
    for (int64_t from = 0; from < cols; from += to.block) {
      int64_t end = from + to.block < cols ? from + to.block : cols;
      float largest = largestOf(row, from, end);
      bool finite = largest <= kLargestFloat;
      float base = largest < kLeastLargest ? kLeastLargest : largest;
      float scale = finite ? base / most : __builtin_nanf("");
      float inverse = most / base;
      for (int64_t start = from; start < end; start += to.segment, at += to.tokens) {
        int64_t stop = start + to.segment < end ? start + to.segment : end;
        to.scales[at] = scale;
        Integer* out = quads.first + start / kQuad * quads.step;
        if (finite) {
          to.sums[at] = -roundSegment(row + start, stop - start, inverse, out, quads.step);
        } else { /* the scale makes the token's sums no number */
          to.sums[at] = 0;
          for (int64_t c = start; c < stop; c += kQuad, out += quads.step) {
            __builtin_memset(out, 0, kQuad * sizeof(Integer));
          }
        }
      }
    }
  }
}

void toIntegers(const float* x, int64_t x_stride, int64_t cols, const lathe::Integers& to, int64_t token0,
                int64_t token1) {
#ifdef LATHE_DOTS_BYTES
  if (to.bits == 8) {
    roundTokens<int8_t>(x, x_stride, cols, to, token0, token1);
    return;
  }
#endif
  roundTokens<int16_t>(x, x_stride, cols, to, token0, token1);
}

/* What becomes of a sum: out = [out +] sum [* scale] + bias. */
struct IntegerFinish {
  float* out; /* of row 0 and token 0 */
  int64_t stride;
  const float* bias;
  bool add;
};

/* What no cache has is fetched into the second-level cache while the strips before it are multiplied: the line `bytes`
 * further, where c & mask is phase. A single tile of tokens fetches every line, of several tiles the first two half of
 * them each. */
struct Ahead {
  int64_t bytes;
  int64_t mask;
  int64_t phase;
};

/* Adds the products of a quad of columns: of S strips and T tokens. */
template <int S, int T> INLINE void addQuads(ivec (&acc)[S][T], const ivec (&bytes)[S], const int16_t* quads) {
  ivec even[S];
  ivec odd[S];
#pragma GCC unroll 8
  for (int i = 0; i < S; i++) {
    even[i] = ievenBytes(bytes[i]);
    odd[i] = ioddBytes(bytes[i]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < T; j++) {
    ivec first = ispread(quads + j * kQuad);
    ivec second = ispread(quads + j * kQuad + 2);
#pragma GCC unroll 8
    for (int i = 0; i < S; i++) {
      acc[i][j] = idot(acc[i][j], even[i], first);
    }
#pragma GCC unroll 8
    for (int i = 0; i < S; i++) {
      acc[i][j] = idot(acc[i][j], odd[i], second);
    }
  }
}

#ifdef LATHE_DOTS_BYTES
template <int S, int T> INLINE void addQuads(ivec (&acc)[S][T], const ivec (&bytes)[S], const int8_t* quads) {
#pragma GCC unroll 8
  for (int j = 0; j < T; j++) {
    ivec quad = ispread(quads + j * kQuad);
#pragma GCC unroll 8
    for (int i = 0; i < S; i++) {
      acc[i][j] = idotBytes(acc[i][j], bytes[i], quad);
    }
  }
}
#endif

template <bool Grouped, bool Fetch, typename Integer, int S, int T>
void integerTile(const lathe_weight& w, int64_t r, int64_t row1, const lathe::Integers& x, int64_t t, Ahead ahead,
                 const IntegerFinish& finish) {
  int64_t padded = (w.rows + kPackedRows - 1) / kPackedRows * kPackedRows;
  const uint8_t* strips[S];
  vec total[S][T];
#pragma GCC unroll 8
  for (int i = 0; i < S; i++) {
    int64_t row = r + i * W;
    strips[i] = w.packed + row / kPackedRows * kPackedRows * x.width + row % kPackedRows * kQuad;
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      total[i][j] = vzero();
    }
  }
  const Integer* quads = TokenQuads<Integer>(x, t).first;
  for (int64_t from = 0, k = 0; from < x.width; from += x.segment, k++) {
    int64_t row = (Grouped ? from / w.group_size * padded : 0) + r;
    ivec acc[S][T];
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      ivec sum = ispread(x.sums + k * x.tokens + t + j);
#pragma GCC unroll 8
      for (int i = 0; i < S; i++) {
        acc[i][j] = w.packed_zeros ? imul(iload(w.packed_zeros + row + i * W), sum) : itimes128(sum);
      }
    }
    int64_t to = from + x.segment < x.width ? from + x.segment : x.width;
    for (int64_t c = from; c < to; c += kQuad) {
      ivec bytes[S];
#pragma GCC unroll 8
      for (int i = 0; i < S; i++) {
        const uint8_t* at = strips[i] + c * kPackedRows;
        if (Fetch && (c & ahead.mask) == ahead.phase) {
          __builtin_prefetch(at + ahead.bytes, 0, 2);
        }
        bytes[i] = iload(at);
      }
      addQuads<S, T>(acc, bytes, quads + c * T);
    }
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      vec scale = vset(x.scales[k * x.tokens + t + j]);
#pragma GCC unroll 8
      for (int i = 0; i < S; i++) {
        vec factor = Grouped ? vmul(scale, vload(w.packed_scales + row + i * W)) : scale;
        total[i][j] = vfma(ifloat(acc[i][j]), factor, total[i][j]);
      }
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < S; i++) {
    int64_t row = r + i * W;
    int n = row1 - row < W ? int(row1 - row) : W;
#pragma GCC unroll 8
    for (int j = 0; j < T; j++) {
      float* to = finish.out + (t + j) * finish.stride + row;
      vec sum = Grouped ? total[i][j] : vmul(total[i][j], vload(w.packed_scales + row));
      if (n == W) {
        sum = finish.bias ? vadd(sum, vload(finish.bias + row)) : sum;
        vstore(to, finish.add ? vadd(vload(to), sum) : sum);
      } else {
        sum = finish.bias ? vadd(sum, vloadn(finish.bias + row, n)) : sum;
        vstoren(to, finish.add ? vadd(vloadn(to, n), sum) : sum, n);
      }
    }
  }
}

/* Strips r to r + S for n <= T tokens. */
template <bool Grouped, bool Fetch, typename Integer, int S, int T>
INLINE void integerTokens(int n, const lathe_weight& w, int64_t r, int64_t row1, const lathe::Integers& x, int64_t t,
                          Ahead ahead, const IntegerFinish& finish) {
  if constexpr (T > 1) {
    if (n < T) {
      integerTokens<Grouped, Fetch, Integer, S, T - 1>(n, w, r, row1, x, t, ahead, finish);
      return;
    }
  }
  constexpr int most = integerStrips<Integer>(T) < S ? integerStrips<Integer>(T) : S;
  for (int64_t row = r; row + most * W <= r + S * W; row += most * W) {
    integerTile<Grouped, Fetch, Integer, most, T>(w, row, row1, x, t, ahead, finish);
  }
}

/* Rows in ranges of S strips, every range for all tokens while it is near, then in ranges of half as many. The last strip
 * of a matrix may be a part: the rows that it has too many are 0 in the packed copy. */
template <bool Grouped, bool Fetch, typename Integer, int S>
INLINE void integerRanges(const lathe_weight& w, int64_t r, int64_t row1, const lathe::Integers& x, int64_t token0,
                          int64_t token1, const IntegerFinish& finish) {
  for (; S == 1 ? r < row1 : r + S * W <= row1; r += S * W) {
    for (int64_t t = token0; t < token1; t += kIntegerTokens) {
      int n = token1 - t < kIntegerTokens ? int(token1 - t) : kIntegerTokens;
      int64_t tile = (t - token0) / kIntegerTokens;
      int64_t mask = token1 - token0 <= kIntegerTokens ? 0 : kQuad;
      Ahead ahead{S * W * x.width, mask, tile * mask};
      if (Fetch && tile < 2) {
        integerTokens<Grouped, true, Integer, S, kIntegerTokens>(n, w, r, row1, x, t, ahead, finish);
      } else {
        integerTokens<Grouped, false, Integer, S, kIntegerTokens>(n, w, r, row1, x, t, ahead, finish);
      }
    }
  }
  if constexpr (S > 1) {
    integerRanges<Grouped, Fetch, Integer, S / 2>(w, r, row1, x, token0, token1, finish);
  }
}

template <bool Grouped, bool Fetch, typename Integer>
INLINE void integerRows(const lathe_weight& w, int64_t row0, int64_t row1, const lathe::Integers& x, int64_t token0,
                        int64_t token1, const IntegerFinish& finish) {
  /* One token takes many strips at once; several tiles of tokens a few, which stay near from tile to tile. */
  if (token1 - token0 == 1) {
    integerRanges<Grouped, Fetch, Integer, integerStrips<Integer>(1)>(w, row0, row1, x, token0, token1, finish);
  } else {
    integerRanges<Grouped, Fetch, Integer, integerStrips<Integer>(2)>(w, row0, row1, x, token0, token1, finish);
  }
}

/* Rounds of products of what sums of `perLane` terms a lane are made of, two operations each. */
template <ivec (*Dot)(ivec, ivec, ivec), int perLane> int64_t multiplyIntegers(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  ivec sums[kChains];
  for (int k = 0; k < kChains; k++) {
    sums[k] = izero();
  }
  ivec a = iopaque(izero()); /* nothing overflows, and processors multiply zeros no faster */
  for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
    for (int k = 0; k < kChains; k++) {
      sums[k] = Dot(sums[k], iopaque(a), a);
    }
  }
  for (int k = 1; k < kChains; k++) {
    sums[0] = iadd(sums[0], sums[k]);
  }
  __builtin_memcpy(sink + 2 * W, &sums[0], sizeof sums[0]);
  return rounds * kChains * W * perLane * 2;
}

int64_t integerMultiplyAdds(int64_t rounds, float* sink) { return multiplyIntegers<idot, 2>(rounds, sink); }
#ifdef LATHE_DOTS_BYTES
int64_t byteMultiplyAdds(int64_t rounds, float* sink) { return multiplyIntegers<idotBytes, 4>(rounds, sink); }
constexpr auto kByteMultiplyAdds = byteMultiplyAdds;
#else
constexpr int64_t (*kByteMultiplyAdds)(int64_t, float*) = nullptr;
#endif

/* row0 is a multiple of kPackedRows, token0 of kIntegerTokens; token1 too, or it is the last. */
void integerLinear(const lathe_weight& w, int64_t row0, int64_t row1, const lathe::Integers& x, int64_t token0,
                   int64_t token1, float* out, int64_t out_stride, const float* bias, bool add) {
  IntegerFinish finish{out - row0, out_stride, bias ? bias - row0 : nullptr, add};
  /* A matrix that the caches may hold from call to call needs no fetching, which would take time. */
  bool fetch = w.rows * x.width > kCachedBytes;
#ifdef LATHE_DOTS_BYTES
  if (x.bits == 8) {
    fetch ? integerRows<false, true, int8_t>(w, row0, row1, x, token0, token1, finish)
          : integerRows<false, false, int8_t>(w, row0, row1, x, token0, token1, finish);
    return;
  }
#endif
  if (w.groups > 1) {
    fetch ? integerRows<true, true, int16_t>(w, row0, row1, x, token0, token1, finish)
          : integerRows<true, false, int16_t>(w, row0, row1, x, token0, token1, finish);
  } else {
    fetch ? integerRows<false, true, int16_t>(w, row0, row1, x, token0, token1, finish)
          : integerRows<false, false, int16_t>(w, row0, row1, x, token0, token1, finish);
  }
}

} // namespace
