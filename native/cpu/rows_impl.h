/* Operations on rows of activations: normalization, rotation, gates, the largest of a row. */
#pragma once
#include <math.h>
#include "kernels.h"

namespace {

/* e^x within 2 units in the last place for x in [-87.3, 88.3]; below and above, the value at the bound. NaN stays NaN.
 * Reduction to [-ln 2 / 2, ln 2 / 2] with ln 2 in two parts, then a polynomial of degree 7 (Cephes, expf). */
INLINE vec vexp(vec x) {
  x = vmin(vset(88.3f), vmax(vset(-87.3f), x));
  vec n = vround(vmul(x, vset(1.44269504f)));
  vec r = vfma(n, vset(-0.693359375f), x);
  r = vfma(n, vset(2.12194440e-4f), r);
  vec p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vfma(p, vmul(r, r), r);
  return vmul(vadd(p, vset(1)), vpow2(n));
}

/* out = x / sqrt(mean(x^2) + epsilon) * weight */
void rmsNorm(float* out, const float* x, const float* weight, int64_t cols, float epsilon) {
  vec sums[4] = {vzero(), vzero(), vzero(), vzero()};
  int64_t c = 0;
  for (; c + 4 * W <= cols; c += 4 * W) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
      vec v = vload(x + c + i * W);
      sums[i] = vfma(v, v, sums[i]);
    }
  }
  for (; c + W <= cols; c += W) {
    vec v = vload(x + c);
    sums[0] = vfma(v, v, sums[0]);
  }
  if (c < cols) {
    vec v = vloadn(x + c, int(cols - c));
    sums[1] = vfma(v, v, sums[1]);
  }
  float mean = vsum1(vadd(vadd(sums[0], sums[1]), vadd(sums[2], sums[3]))) / float(cols);
  vec factor = vset(1 / __builtin_sqrtf(mean + epsilon));
  for (c = 0; c + W <= cols; c += W) {
    vstore(out + c, vmul(vmul(vload(x + c), factor), vload(weight + c)));
  }
  if (c < cols) {
    int n = int(cols - c);
    vstoren(out + c, vmul(vmul(vloadn(x + c, n), factor), vloadn(weight + c, n)), n);
  }
}

template <class V> INLINE int64_t rotatePart(float* head, const float* rotation, int64_t half, int64_t i) {
  constexpr int64_t lanes = sizeof(V) / sizeof(float);
  for (; i + lanes <= half; i += lanes) {
    V a, b, cosine, sine;
    __builtin_memcpy(&a, head + i, sizeof(V));
    __builtin_memcpy(&b, head + half + i, sizeof(V));
    __builtin_memcpy(&cosine, rotation + i, sizeof(V));
    __builtin_memcpy(&sine, rotation + half + i, sizeof(V));
    V left = a * cosine - b * sine;
    V right = b * cosine + a * sine;
    __builtin_memcpy(head + i, &left, sizeof(V));
    __builtin_memcpy(head + half + i, &right, sizeof(V));
  }
  return i;
}

/* Heads one after another. Element i is paired with element i + head_dim / 2; rotation: cosines, then sines. */
void rotate(float* head, int64_t heads, const float* rotation, int64_t head_dim) {
  int64_t half = head_dim / 2;
  for (int64_t h = 0; h < heads; h++, head += head_dim) {
    int64_t i = rotatePart<vec>(head, rotation, half, 0);
    /* What is left in fours and ones: a masked store would hold up the next head's loads until it has left the queue. */
    i = rotatePart<four>(head, rotation, half, i);
    rotatePart<float>(head, rotation, half, i);
  }
}

INLINE vec activate(vec x, int32_t activation) {
  vec argument = x;
  if (activation == 1) { /* x/2 (1 + tanh u) = x / (1 + e^-2u) */
    vec cubic = vfma(vmul(vmul(x, x), x), vset(0.044715f), x);
    argument = vmul(cubic, vset(1.5957691216f));
  }
  return vdiv(x, vadd(vset(1), vexp(vsub(vzero(), argument))));
}

void gate(float* out, const float* gates, const float* up, int64_t n, int32_t activation) {
  if (activation == 2) { /* erfc keeps the digits of the negative tail */
    for (int64_t i = 0; i < n; i++) {
      out[i] = 0.5f * gates[i] * erfcf(gates[i] * -0.70710678f) * up[i];
    }
    return;
  }
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    vstore(out + i, vmul(activate(vload(gates + i), activation), vload(up + i)));
  }
  if (i < n) {
    int count = int(n - i);
    vstoren(out + i, vmul(activate(vloadn(gates + i, count), activation), vloadn(up + i, count)), count);
  }
}

/* The first of the largest; NaN is never the largest unless nothing else is there. */
int32_t argmax(const float* x, int64_t n) {
  vec best = vset(-__builtin_inff());
  int64_t i = 0;
  for (; i + W <= n; i += W) {
    best = vmax(vload(x + i), best);
  }
  float largest = vmax1(best);
  for (; i < n; i++) {
    largest = x[i] > largest ? x[i] : largest;
  }
  for (i = 0; i + W <= n; i += W) {
    uint32_t equal = vequal(vload(x + i), vset(largest));
    if (equal != 0) {
      return int32_t(i + __builtin_ctz(equal));
    }
  }
  for (; i < n; i++) {
    if (x[i] == largest) {
      return int32_t(i);
    }
  }
  return 0;
}

/* Eight streams at once: one alone does not keep enough lines under way. */
float readAll(const float* x, int64_t n) {
  constexpr int kStreams = 8;
  vec sums[kStreams];
  for (int k = 0; k < kStreams; k++) {
    sums[k] = vzero();
  }
  int64_t each = n / kStreams;
  for (int64_t i = 0; i + W <= each; i += W) {
#pragma GCC unroll 8
    for (int k = 0; k < kStreams; k++) {
      sums[k] = vadd(sums[k], vload(x + k * each + i));
    }
  }
  for (int k = 1; k < kStreams; k++) {
    sums[0] = vadd(sums[0], sums[k]);
  }
  return vsum1(sums[0]);
}

int64_t multiplyAdds(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  vec sums[kChains];
  for (int k = 0; k < kChains; k++) {
    sums[k] = vset(float(k));
  }
  vec a = vload(sink);
  vec b = vload(sink + W);
  for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 12
    for (int k = 0; k < kChains; k++) {
      sums[k] = vfma(sums[k], a, b);
    }
  }
  for (int k = 1; k < kChains; k++) {
    sums[0] = vadd(sums[0], sums[k]);
  }
  vstore(sink + 2 * W, sums[0]);
  return rounds * kChains * W * 2;
}

} // namespace
