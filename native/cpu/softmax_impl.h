/* The softmax of attention scores, in place and undivided. */
#pragma once
#include "rows_impl.h"

namespace {

/* Scores of G heads to weights that are still to be divided by their sums. The heads take turns, so that one's latencies
 * hide another's; each adds in the order that it has alone. */
template <int G> INLINE void softmax(float* scores, int64_t stride, int64_t n, float scale, float* sums) {
  vec factor = vset(scale);
  vec most[G];
  vec sum[G];
  vec shift[G];
#pragma GCC unroll 4
  for (int g = 0; g < G; g++) {
    most[g] = vset(-__builtin_inff());
    sum[g] = vzero();
  }
  int64_t i = 0;
  for (; i + W <= n; i += W) {
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      vec v = vmul(vload(scores + g * stride + i), factor);
      vstore(scores + g * stride + i, v);
      most[g] = vmax(v, most[g]);
    }
  }
  for (int g = 0; g < G; g++) {
    float largest = vmax1(most[g]);
    for (int64_t k = i; k < n; k++) {
      float& score = scores[g * stride + k];
      score *= scale;
      largest = score > largest ? score : largest;
    }
    shift[g] = vset(largest);
  }
  for (i = 0; i + W <= n; i += W) {
#pragma GCC unroll 4
    for (int g = 0; g < G; g++) {
      vec v = vexp(vsub(vload(scores + g * stride + i), shift[g]));
      vstore(scores + g * stride + i, v);
      sum[g] = vadd(sum[g], v);
    }
  }
  for (int g = 0; g < G; g++) {
    if (i < n) {
      int count = int(n - i);
      vec v = vexp(vsub(vloadn(scores + g * stride + i, count), shift[g]));
      vstoren(scores + g * stride + i, v, count);
      sum[g] = vadd(sum[g], vkeep((1u << count) - 1, v));
    }
    sums[g] = vsum1(sum[g]);
  }
}

} // namespace
