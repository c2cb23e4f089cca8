/* Elements of keys and values in each floating type that a cache has; of INT8: int8_kv_impl.h. */
#pragma once
#include <type_traits>
#include "dot_impl.h"

namespace {

using lathe::Kv;

template <Kv K> constexpr int64_t kvBytes = K == Kv::F32 ? 4 : 2;

template <Kv K> INLINE vec loadKv(const uint8_t* p, int64_t index) {
  const uint8_t* at = p + kvBytes<K> * index;
  return K == Kv::F32 ? vload(at) : K == Kv::F16 ? vloadF16(at) : vloadBf16(at);
}
/* n elements, the rest 0; nothing beyond them is read. */
template <Kv K> INLINE vec loadKv(const uint8_t* p, int64_t index, int n) {
  const uint8_t* at = p + kvBytes<K> * index;
  return K == Kv::F32 ? vloadn(at, n) : K == Kv::F16 ? vloadnF16(at, n) : vloadnBf16(at, n);
}

/* A whole row of D registers, and the order of its elements: BF16 comes two registers at a time, the even elements of 2 W
 * and the odd ones, since a half of 32 bits is a float as it lies. `arrange` brings a row of floats into that order,
 * `restore` back. */
template <Kv K, int D> constexpr bool kvInPairs = K == Kv::BF16 && D % 2 == 0;

template <Kv K, int D> INLINE void loadKvRow(const uint8_t* p, int64_t index, vec (&row)[D]) {
#pragma GCC unroll 8
  for (int d = 0; d < D; d++) {
    if constexpr (!kvInPairs<K, D>) {
      row[d] = loadKv<K>(p, index + d * W);
    } else if (d % 2 == 0) {
      vloadBf16Pair(p + 2 * (index + d * W), row[d], row[d + 1]);
    }
  }
}
template <Kv K, int D> INLINE void arrange(vec (&row)[D]) {
  if constexpr (kvInPairs<K, D>) {
#pragma GCC unroll 8
    for (int d = 0; d < D; d += 2) {
      vdeinterleave(row[d], row[d + 1]);
    }
  }
}
template <Kv K, int D> INLINE void restore(vec (&row)[D]) {
  if constexpr (kvInPairs<K, D>) {
#pragma GCC unroll 8
    for (int d = 0; d < D; d += 2) {
      vinterleave(row[d], row[d + 1]);
    }
  }
}

template <Kv K> struct KvRowOf;
template <> struct KvRowOf<Kv::F32> { using Row = F32Row; };
template <> struct KvRowOf<Kv::F16> { using Row = F16Row; };
template <> struct KvRowOf<Kv::BF16> { using Row = Bf16Row; };

/* f(std::integral_constant<Kv, ...>) of a floating type */
template <class F> INLINE void withKv(Kv type, F f) {
  switch (type) {
    case Kv::F32: f(std::integral_constant<Kv, Kv::F32>{}); break;
    case Kv::F16: f(std::integral_constant<Kv, Kv::F16>{}); break;
    default: f(std::integral_constant<Kv, Kv::BF16>{});
  }
}

/* A key or value as the cache has it. */
INLINE void writeFloats(uint8_t* out, const float* x, int64_t n, Kv type) {
  if (type == Kv::F32) {
    __builtin_memcpy(out, x, size_t(n) * 4);
    return;
  }
  for (int64_t i = 0; i < n; i += W) {
    int count = n - i < W ? int(n - i) : W;
    vec v = count == W ? vload(x + i) : vloadn(x + i, count);
    if (type == Kv::F16) {
      vstoreF16(out + 2 * i, v, count);
    } else {
      vstoreBf16(out + 2 * i, v, count);
    }
  }
}

} // namespace
