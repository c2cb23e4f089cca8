/* Row operations of decoders other than Llama, and attention that sees a window or caps its scores. */
#pragma once
#include "attention_impl.h"
#include "rows_impl.h"

namespace {

/* tanh x within 4 units in the last place. Up to 0.625 a polynomial in x^2 (Cephes, tanhf), where 1 - 2 / (e^2x + 1) would
 * cancel; beyond it that. */
INLINE vec vtanh(vec x) {
  vec z = vmul(x, x);
  vec p = vset(-5.70498872745e-3f);
  p = vfma(p, z, vset(2.06390887954e-2f));
  p = vfma(p, z, vset(-5.37397155531e-2f));
  p = vfma(p, z, vset(1.33314422036e-1f));
  p = vfma(p, z, vset(-3.33332819422e-1f));
  p = vfma(vmul(p, z), x, x);
  vec large = vsub(vset(1), vdiv(vset(2), vadd(vexp(vadd(x, x)), vset(1))));
  vec size = vmax(x, vsub(vzero(), x));
  uint32_t all = (1u << W) - 1;
  uint32_t small = vequal(vmin(size, vset(0.625f)), size);
  return vadd(vkeep(small, p), vkeep(all & ~small, large));
}

/* x = cap * tanh(x / cap) */
void softCap(float* x, int64_t n, float cap) {
  for (int64_t i = 0; i < n; i += W) {
    int count = n - i < W ? int(n - i) : W;
    vec v = vmul(vset(cap), vtanh(vdiv(vloadn(x + i, count), vset(cap))));
    vstoren(x + i, v, count);
  }
}

void activateRow(float* out, const float* x, int64_t n, int32_t activation) {
  if (activation == 2) { /* erfc keeps the digits of the negative tail */
    for (int64_t i = 0; i < n; i++) {
      out[i] = 0.5f * x[i] * erfcf(x[i] * -0.70710678f);
    }
    return;
  }
  for (int64_t i = 0; i < n; i += W) {
    int count = n - i < W ? int(n - i) : W;
    vstoren(out + i, activate(vloadn(x + i, count), activation), count);
  }
}

/* sum of (x - shift), or of its squares; lanes past the end add nothing */
template <bool Squares> INLINE float sumShifted(const float* x, int64_t n, float shift) {
  vec sum = vzero();
  for (int64_t i = 0; i < n; i += W) {
    int count = n - i < W ? int(n - i) : W;
    vec v = vsub(vloadn(x + i, count), vset(shift));
    v = vkeep(count == W ? (1u << W) - 1 : (1u << count) - 1, v);
    sum = Squares ? vfma(v, v, sum) : vadd(sum, v);
  }
  return vsum1(sum);
}

/* out = (x - mean) / sqrt(variance + epsilon) * weight + bias; the variance of the centred values, which cancels nothing */
void layerNorm(float* out, const float* x, const float* weight, const float* bias, int64_t cols, float epsilon) {
  float mean = sumShifted<false>(x, cols, 0) / float(cols);
  float variance = sumShifted<true>(x, cols, mean) / float(cols);
  vec factor = vset(1 / __builtin_sqrtf(variance + epsilon));
  for (int64_t i = 0; i < cols; i += W) {
    int count = cols - i < W ? int(cols - i) : W;
    vec v = vmul(vsub(vloadn(x + i, count), vset(mean)), factor);
    vstoren(out + i, vfma(v, vloadn(weight + i, count), vloadn(bias + i, count)), count);
  }
}

/* out += x / sqrt(mean(x^2) + epsilon) * weight */
void addRmsNorm(float* out, const float* x, const float* weight, int64_t cols, float epsilon) {
  float mean = sumShifted<true>(x, cols, 0) / float(cols);
  vec factor = vset(1 / __builtin_sqrtf(mean + epsilon));
  for (int64_t i = 0; i < cols; i += W) {
    int count = cols - i < W ? int(cols - i) : W;
    vec v = vmul(vloadn(x + i, count), factor);
    vstoren(out + i, vfma(v, vloadn(weight + i, count), vloadn(out + i, count)), count);
  }
}

/* Scores, already scaled, to weights that are still to be divided by their sum, which is returned. */
float cappedWeights(float* scores, int64_t n, float cap) {
  if (cap > 0) {
    softCap(scores, n, cap);
  }
  float largest = -__builtin_inff();
  for (int64_t j = 0; j < n; j++) {
    largest = scores[j] > largest ? scores[j] : largest;
  }
  vec total = vzero();
  for (int64_t j = 0; j < n; j += W) {
    int count = n - j < W ? int(n - j) : W;
    vec p = vexp(vsub(vloadn(scores + j, count), vset(largest)));
    p = vkeep(count == W ? (1u << W) - 1 : (1u << count) - 1, p);
    vstoren(scores + j, p, count);
    total = vadd(total, p);
  }
  return vsum1(total);
}

/* One query head over keys first to last: scores, cap, softmax, weighted sum, page by page. */
template <Kv K>
void attendRange(const lathe::AttentionItem& item, const float* query, float* out, int64_t first, int64_t last,
                 float* scores) {
  constexpr int64_t bytes = kvBytes<K>;
  int64_t head_dim = item.head_dim;
  int64_t n = last - first;
  auto row = [&](const uint8_t* base, int64_t j) {
    return base + item.page_stride * item.blocks[j / item.page_size] + bytes * (j % item.page_size * head_dim);
  };
  for (int64_t j = 0; j < n; j++) {
    const uint8_t* key = row(item.keys, first + j);
    vec sum = vzero();
    for (int64_t d = 0; d < head_dim; d += W) {
      int count = head_dim - d < W ? int(head_dim - d) : W;
      sum = vfma(vloadn(query + d, count), loadKv<K>(key, d, count), sum);
    }
    scores[j] = vsum1(sum) * item.scale;
  }
  vec sum = vset(cappedWeights(scores, n, item.soft_cap));
  for (int64_t d = 0; d < head_dim; d += W) {
    int count = head_dim - d < W ? int(head_dim - d) : W;
    vec acc = vzero();
    for (int64_t j = 0; j < n; j++) {
      acc = vfma(vset(scores[j]), loadKv<K>(row(item.values, first + j), d, count), acc);
    }
    vstoren(out + d, vdiv(acc, sum), count);
  }
}

/* Where neither the window nor a cap changes anything this is attention; else token by token, head by head. */
void attentionWithin(const lathe::AttentionItem& item, Kv type, float* scratch) {
  if (item.soft_cap <= 0 && item.first + item.tokens - 1 <= item.window) {
    attention(item, type, scratch);
    return;
  }
  for (int64_t token = 0; token < item.tokens; token++) {
    int64_t last = item.first + token;
    int64_t first = last > item.window ? last - item.window : 0;
    if (type == Kv::INT8) {
      int64_t stride = scoreStride(item.first + item.tokens - 1);
      attendInt8(item, item.query + token * item.query_stride, item.out + token * item.out_stride, first, last,
                      stride, scratch, [&](float* scores, int64_t n) {
                        for (int64_t j = 0; j < n; j++) {
                          scores[j] *= item.scale;
                        }
                        return cappedWeights(scores, n, item.soft_cap);
                      });
      continue;
    }
    for (int64_t g = 0; g < item.group; g++) {
      const float* query = item.query + token * item.query_stride + g * item.head_dim;
      float* out = item.out + token * item.out_stride + g * item.head_dim;
      withKv(type, [&](auto kv) { attendRange<kv.value>(item, query, out, first, last, scratch); });
    }
  }
}

} // namespace
