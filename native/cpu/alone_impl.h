/* Causal attention of single tokens for a query head that has a key/value head to itself, of whole registers.
 *
 * Nothing is shared among heads, so the query stays in registers, and a key is read as the operand of its product. Values
 * are weighed a whole row at a time. The order of all sums depends on the token's context alone.
 */
#pragma once
#include "kv_impl.h"
#include "softmax_impl.h"

namespace {

/* Independent sums for each register of a head, which hide the latency of a multiply-add. */
constexpr int interleaved(int registers) { return registers <= 2 ? 4 : registers == 4 ? 2 : 1; }

template <Kv K, int D> INLINE vec keyProducts(const vec (&query)[D], const uint8_t* keys, int64_t row) {
  vec key[D];
  loadKvRow<K, D>(keys, row * D * W, key);
  vec sum = vmul(query[0], key[0]);
#pragma GCC unroll 8
  for (int d = 1; d < D; d++) {
    sum = vfma(query[d], key[d], sum);
  }
  return sum;
}

/* The page behind `page`, if there is one: pages of 16 bits are too short for the hardware to foresee. */
template <Kv K, int D>
INLINE void fetchNext(const lathe::AttentionItem& item, const uint8_t* base, int64_t start, int64_t page, int64_t keys) {
  if (kvBytes<K> == 2 && start + item.page_size < keys) {
    const uint8_t* next = base + item.page_stride * item.blocks[page + 1];
    for (int64_t at = 0; at < kvBytes<K> * item.page_size * D * W; at += 64) {
      __builtin_prefetch(next + at, 0, 3);
    }
  }
}

template <Kv K, int D>
void scoresAlone(const lathe::AttentionItem& item, int64_t keys, const float* query, float* scores) {
  vec q[D];
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
    q[d] = vload(query + d * W);
  }
  arrange<K, D>(q);
  for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
    const uint8_t* rows = item.keys + item.page_stride * item.blocks[page];
    fetchNext<K, D>(item, item.keys, start, page, keys);
    int64_t count = keys - start < item.page_size ? keys - start : item.page_size;
    int64_t j = 0;
    for (; j + 4 <= count; j += 4) {
      vsum4(keyProducts<K, D>(q, rows, j), keyProducts<K, D>(q, rows, j + 1),
            keyProducts<K, D>(q, rows, j + 2), keyProducts<K, D>(q, rows, j + 3), scores + start + j);
    }
    for (; j < count; j++) {
      scores[start + j] = vsum1(keyProducts<K, D>(q, rows, j));
    }
  }
}

template <Kv K, int D>
void weighAlone(const lathe::AttentionItem& item, int64_t keys, const float* weights, float sum, float* out) {
  constexpr int I = interleaved(D);
  vec acc[D][I];
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
#pragma GCC unroll 4
    for (int i = 0; i < I; i++) {
      acc[d][i] = vzero();
    }
  }
  for (int64_t start = 0, page = 0; start < keys; start += item.page_size, page++) {
    const uint8_t* rows = item.values + item.page_stride * item.blocks[page];
    fetchNext<K, D>(item, item.values, start, page, keys);
    int64_t count = keys - start < item.page_size ? keys - start : item.page_size;
    int64_t j = 0;
    for (; j + I <= count; j += I) {
#pragma GCC unroll 4
      for (int i = 0; i < I; i++) {
        vec weight = vset(weights[start + j + i]);
        vec value[D];
        loadKvRow<K, D>(rows, (j + i) * D * W, value);
#pragma GCC unroll 8
        for (int d = 0; d < D; d++) {
          acc[d][i] = vfma(weight, value[d], acc[d][i]);
        }
      }
    }
    for (; j < count; j++) {
      vec weight = vset(weights[start + j]);
      vec value[D];
      loadKvRow<K, D>(rows, j * D * W, value);
#pragma GCC unroll 8
      for (int d = 0; d < D; d++) {
        acc[d][0] = vfma(weight, value[d], acc[d][0]);
      }
    }
  }
  vec total[D];
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
    total[d] = acc[d][0];
#pragma GCC unroll 4
    for (int i = 1; i < I; i++) {
      total[d] = vadd(total[d], acc[d][i]);
    }
    total[d] = vdiv(total[d], vset(sum));
  }
  restore<K, D>(total);
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
    vstore(out + d * W, total[d]);
  }
}

template <Kv K, int D>
void attendAlone(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores) {
  scoresAlone<K, D>(item, keys, query, scores);
  float sum;
  softmax<1>(scores, 0, keys, item.scale, &sum);
  weighAlone<K, D>(item, keys, scores, sum, out);
}

/* Whether the head is of a size that is run here; then it is done. */
template <Kv K>
INLINE bool attendAlone(const lathe::AttentionItem& item, int64_t keys, const float* query, float* out, float* scores) {
  if (item.group != 1) {
    return false;
  }
  switch (item.head_dim) {
    case W: attendAlone<K, 1>(item, keys, query, out, scores); return true;
    case 2 * W: attendAlone<K, 2>(item, keys, query, out, scores); return true;
    case 4 * W: attendAlone<K, 4>(item, keys, query, out, scores); return true;
    case 8 * W: attendAlone<K, 8>(item, keys, query, out, scores); return true;
    default: return false;
  }
}

} // namespace
