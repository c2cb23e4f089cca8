/* Causal attention over pages for single tokens: out[h, :] = softmax(q[h] . K^T * scale) V, for the query heads h of one key/value head.
 *
 * Two passes: all scores of a token first (exact maximum, no rescaling), then the weighted sum of the values. A page's
 * keys are rows of a matrix that the group's queries are multiplied with, so dot_impl.h's tiles read each key once for
 * all heads of the group. The order of all sums depends on the token's context alone.
 */
#pragma once
#include "alone_impl.h"
#include "bf16_attention_impl.h"
#include "int8_attention_impl.h"
#include "int8_kv_impl.h"
#include "narrow_impl.h"
#include "prompt_impl.h"

namespace {

INLINE int64_t scoreStride(int64_t keys) { return (keys + 15) / 16 * 16 + 16; }

int64_t attentionScratch(const lathe::AttentionItem& item) {
  int64_t keys = item.first + item.tokens - 1;
  int64_t single = item.group * scoreStride(keys);
#ifdef LATHE_TWO_ROWS
  if (item.head_dim == kNarrow) {
    single = item.group * narrowStride(keys, item.page_size);
  }
#endif
  single += scoreStride(keys) + wideRows(item.head_dim); /* of INT8: where tiles lie, and 16 rows as floats */
  int64_t prompt = promptScratch(item.head_dim);
  return single > prompt ? single : prompt;
}

/* acc[g] += sum_j weights[g][j] values[j][d .. d + n), four interleaved sums a head to hide the latency. */
template <Kv K, int G>
INLINE void weighValues(const uint8_t* values, int64_t head_dim, int64_t d, int n, const float* weights, int64_t stride,
                        int64_t rows, vec (&acc)[G][4]) {
  int64_t j = 0;
  for (; j + 4 <= rows; j += 4) {
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
      vec v = loadKv<K>(values, (j + k) * head_dim + d, n);
#pragma GCC unroll 4
      for (int g = 0; g < G; g++) {
        acc[g][k] = vfma(vset(weights[g * stride + j + k]), v, acc[g][k]);
      }
    }
  }
  for (; j < rows; j++) {
    vec v = loadKv<K>(values, j * head_dim + d, n);
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      acc[g][0] = vfma(vset(weights[g * stride + j]), v, acc[g][0]);
    }
  }
}

template <Kv K, int G>
void weighGroup(const lathe::AttentionItem& item, int64_t keys, const float* weights, int64_t stride,
                const float* sums, float* out) {
  for (int64_t d = 0; d < item.head_dim; d += W) {
    int n = item.head_dim - d < W ? int(item.head_dim - d) : W;
    vec acc[G][4];
    for (int g = 0; g < G; g++) {
      for (int k = 0; k < 4; k++) {
        acc[g][k] = vzero();
      }
    }
    for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
      const uint8_t* values = item.values + item.page_stride * item.blocks[page];
      int64_t rows = keys - start < item.page_size ? keys - start : item.page_size;
      if (n == W) {
        weighValues<K, G>(values, item.head_dim, d, W, weights + start, stride, rows, acc);
      } else {
        weighValues<K, G>(values, item.head_dim, d, n, weights + start, stride, rows, acc);
      }
    }
    for (int g = 0; g < G; g++) {
      vec total = vadd(vadd(acc[g][0], acc[g][1]), vadd(acc[g][2], acc[g][3]));
      total = vdiv(total, vset(sums[g]));
      if (n == W) {
        vstore(out + g * item.head_dim + d, total);
      } else {
        vstoren(out + g * item.head_dim + d, total, n);
      }
    }
  }
}

template <Kv K> void attendToken(const lathe::AttentionItem& item, int64_t token, float* scores) {
  using Row = typename KvRowOf<K>::Row;
  int64_t keys = item.first + token;
  int64_t stride = scoreStride(item.first + item.tokens - 1);
  const float* query = item.query + token * item.query_stride;
  float* out = item.out + token * item.out_stride;
#ifdef LATHE_TWO_ROWS
  if (item.head_dim == kNarrow) {
    int64_t narrow = narrowStride(item.first + item.tokens - 1, item.page_size);
    int64_t g = 0;
    for (; g + 2 <= item.group; g += 2) {
      attendNarrow<K, 2>(item, keys, query + g * kNarrow, out + g * kNarrow, scores, narrow);
    }
    if (g < item.group) {
      attendNarrow<K, 1>(item, keys, query + g * kNarrow, out + g * kNarrow, scores, narrow);
    }
    return;
  }
#endif
#ifdef LATHE_BF16_PRODUCTS
  if (K == Kv::BF16 && attendBf16(item, keys, query, out, scores)) {
    return;
  }
#endif
  if (attendAlone<K>(item, keys, query, out, scores)) {
    return;
  }
  lathe_weight rows{};
  rows.cols = item.head_dim;
  rows.value_stride = item.head_dim;
  for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
    rows.values = item.keys + item.page_stride * item.blocks[page];
    int64_t count = keys - start < item.page_size ? keys - start : item.page_size;
    Finish finish{scores + start, stride, nullptr, nullptr, false};
    dotRows<false, Row>(rows, 0, count, {item.head_dim, item.head_dim}, query, item.head_dim, item.group, finish);
  }
  for (int64_t g = 0; g < item.group; g += 4) {
    int64_t heads = item.group - g < 4 ? item.group - g : 4;
    float sums[4];
    for (int64_t i = 0; i < heads; i++) {
      softmax<1>(scores + (g + i) * stride, stride, keys, item.scale, sums + i);
    }
    const float* weights = scores + g * stride;
    float* to = out + g * item.head_dim;
    switch (heads) {
      case 1: weighGroup<K, 1>(item, keys, weights, stride, sums, to); break;
      case 2: weighGroup<K, 2>(item, keys, weights, stride, sums, to); break;
      case 3: weighGroup<K, 3>(item, keys, weights, stride, sums, to); break;
      default: weighGroup<K, 4>(item, keys, weights, stride, sums, to);
    }
  }
}

void attendInt8Token(const lathe::AttentionItem& item, int64_t token, float* scratch) {
  int64_t keys = item.first + token;
  const float* query = item.query + token * item.query_stride;
  float* out = item.out + token * item.out_stride;
#ifdef LATHE_DOTS_BYTES
  if (attendBytes(item, keys, query, out, scratch)) {
    return;
  }
#endif
  int64_t stride = scoreStride(item.first + item.tokens - 1);
  attendInt8(item, query, out, 0, keys, stride, scratch, [&](float* scores, int64_t n) {
    float sum;
    softmax<1>(scores, stride, n, item.scale, &sum);
    return sum;
  });
}

void attention(const lathe::AttentionItem& item, Kv type, float* scratch) {
  if (type == Kv::INT8) {
    if (item.tokens >= kPromptTokens) {
      attendPrompt<Kv::INT8>(item, scratch);
      return;
    }
    for (int64_t token = 0; token < item.tokens; token++) {
      attendInt8Token(item, token, scratch);
    }
    return;
  }
  withKv(type, [&](auto kv) {
    if (item.tokens >= kPromptTokens) {
      attendPrompt<kv.value>(item, scratch);
      return;
    }
    for (int64_t token = 0; token < item.tokens; token++) {
      attendToken<kv.value>(item, token, scratch);
    }
  });
}

} // namespace
