/* Four floats that the compiler puts where it likes: any processor. Multiply and add round separately. */
#pragma once
#include "kernels.h"
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace {

typedef float vec __attribute__((vector_size(16)));
typedef int32_t ivec __attribute__((vector_size(16)));
constexpr int W = 4;
constexpr int kTileTokens = 2;
constexpr int kGemvRows = 4;

INLINE vec vzero() { return vec{0, 0, 0, 0}; }
INLINE vec vset(float v) { return vec{v, v, v, v}; }
INLINE vec vload(const void* p) {
  vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE vec vloadn(const void* p, int n) {
  vec v = vzero();
  memcpy(&v, p, size_t(n) * 4);
  return v;
}
INLINE void vstore(float* p, vec v) { memcpy(p, &v, sizeof v); }
INLINE void vstoren(float* p, vec v, int n) { memcpy(p, &v, size_t(n) * 4); }
INLINE vec vadd(vec a, vec b) { return a + b; }
INLINE vec vsub(vec a, vec b) { return a - b; }
INLINE vec vmul(vec a, vec b) { return a * b; }
INLINE vec vdiv(vec a, vec b) { return a / b; }
INLINE vec vmax(vec a, vec b) { return a > b ? a : b; }
INLINE vec vmin(vec a, vec b) { return a < b ? a : b; }
INLINE vec vfma(vec a, vec b, vec c) { return a * b + c; }
/* For |a| < 2^22: adding 1.5 * 2^23 leaves no room for a fraction. */
INLINE vec vround(vec a) { return (a + 12582912.0f) - 12582912.0f; }
INLINE vec vpow2(vec n) { return (vec)((__builtin_convertvector(n, ivec) + 127) << 23); }
INLINE uint32_t vequal(vec a, vec b) {
  ivec e = a == b;
  return (e[0] & 1) | (e[1] & 2) | (e[2] & 4) | (e[3] & 8);
}

INLINE float fromBits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, 4);
  return value;
}
INLINE float halfToFloat(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000) << 16;
  uint32_t magnitude = h & 0x7fff;
  if (magnitude >= 0x7c00) { /* infinite or not a number */
    return fromBits(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
  }
  /* As a float the bits are the value times 2^-112, subnormal halves included. */
  float scaled = fromBits(magnitude << 13) * 0x1p112f;
  return sign ? -scaled : scaled;
}
INLINE uint16_t floatToHalf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) {
    return uint16_t(sign | 0x7e00);
  }
  if (bits >= 0x477ff000) { /* 65520 and more round to infinity */
    return uint16_t(sign | 0x7c00);
  }
  if (bits < 0x38800000) { /* below 2^-14: a multiple of 2^-24, rounded by the addition */
    float shifted = fromBits(bits) + 0.5f;
    uint32_t rounded;
    memcpy(&rounded, &shifted, 4);
    return uint16_t(sign | (rounded - 0x3f000000));
  }
  bits += 0xfff + (bits >> 13 & 1) - 0x38000000;
  return uint16_t(sign | bits >> 13);
}
template <class Convert> INLINE vec convert16(const void* p, int n, Convert convert) {
  uint16_t raw[4] = {};
  memcpy(raw, p, size_t(n) * 2);
  return vec{convert(raw[0]), convert(raw[1]), convert(raw[2]), convert(raw[3])};
}
INLINE float bf16ToFloat(uint16_t v) { return fromBits(uint32_t(v) << 16); }
INLINE vec vloadnBf16(const void* p, int n) { return convert16(p, n, [](uint16_t v) { return bf16ToFloat(v); }); }
INLINE vec vloadBf16(const void* p) { return vloadnBf16(p, 4); }
INLINE vec vloadnF16(const void* p, int n) { return convert16(p, n, [](uint16_t v) { return halfToFloat(v); }); }
INLINE vec vloadF16(const void* p) { return vloadnF16(p, 4); }
INLINE vec vloadnI8(const void* p, int n) {
  int8_t raw[4] = {};
  memcpy(raw, p, size_t(n));
  return vec{float(raw[0]), float(raw[1]), float(raw[2]), float(raw[3])};
}
INLINE vec vloadI8(const void* p) { return vloadnI8(p, 4); }
INLINE void vstoreF16(void* p, vec v, int n) {
  uint16_t half[4] = {floatToHalf(v[0]), floatToHalf(v[1]), floatToHalf(v[2]), floatToHalf(v[3])};
  memcpy(p, half, size_t(n) * 2);
}
/* Rounded to the nearest, halves to even; what is no number stays none. */
INLINE void vstoreBf16(void* p, vec v, int n) {
  ivec bits = (ivec)v;
  ivec upper = bits >> 16;
  ivec rounded = (bits + 0x7fff + (upper & 1)) >> 16;
  ivec none = v != v;
  rounded = (none & (upper | 0x40)) | (~none & rounded);
  uint16_t narrow[4] = {uint16_t(rounded[0]), uint16_t(rounded[1]), uint16_t(rounded[2]), uint16_t(rounded[3])};
  memcpy(p, narrow, size_t(n) * 2);
}
/* 2 W elements: those of even index and those of odd. */
INLINE void vloadBf16Pair(const void* p, vec& even, vec& odd) {
  ivec words;
  memcpy(&words, p, sizeof words);
  even = (vec)(words << 16);
  odd = (vec)(words & int32_t(0xffff0000));
}
/* 2 W elements in their order to those of even index and those of odd, and back. */
INLINE void vdeinterleave(vec& a, vec& b) {
  vec low = a;
  a = vec{low[0], low[2], b[0], b[2]};
  b = vec{low[1], low[3], b[1], b[3]};
}
INLINE void vinterleave(vec& a, vec& b) {
  vec low = a;
  a = vec{low[0], b[0], low[1], b[1]};
  b = vec{low[2], b[2], low[3], b[3]};
}
INLINE vec vkeep(uint32_t mask, vec v) {
  return vec{mask & 1 ? v[0] : 0, mask & 2 ? v[1] : 0, mask & 4 ? v[2] : 0, mask & 8 ? v[3] : 0};
}
INLINE vec vexpand(uint32_t mask, vec packed) {
  vec out = vzero();
  int next = 0;
  for (int i = 0; i < 4; i++) {
    if (mask >> i & 1) {
      out[i] = packed[next++];
    }
  }
  return out;
}
INLINE uint32_t vbits(const uint8_t* bitmap, int64_t c, int) { return uint32_t(bitmap[c >> 3]) >> (c & 4) & 15; }

INLINE ivec izero() { return ivec{0, 0, 0, 0}; }
INLINE ivec iload(const void* p) {
  ivec v;
  memcpy(&v, p, sizeof v);
  return v;
}
INLINE ivec ispread(const void* p) {
  int32_t word;
  memcpy(&word, p, sizeof word);
  return ivec{word, word, word, word};
}
INLINE ivec iadd(ivec a, ivec b) { return a + b; }
INLINE ivec imul(ivec a, ivec b) { return a * b; }
INLINE ivec itimes128(ivec a) { return a << 7; }
/* Bytes 0, 2, 4 ... and 1, 3, 5 ... as 16-bit integers without a sign. */
INLINE ivec ievenBytes(ivec a) { return a & 0x00ff00ff; }
INLINE ivec ioddBytes(ivec a) { return a >> 8 & 0x00ff00ff; }
/* The same, which the compiler doesn't know. */
INLINE ivec iopaque(ivec a) {
  __asm__ volatile("" : "+m"(a));
  return a;
}
/* acc[i] + a[2i] b[2i] + a[2i + 1] b[2i + 1] of 16-bit integers */
INLINE ivec idot(ivec acc, ivec a, ivec b) {
#ifdef __SSE2__ /* which has no product of 32 bits that a compiler could make of this */
  return acc + (ivec)_mm_madd_epi16((__m128i)a, (__m128i)b);
#endif
  return acc + (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
}
/* The first byte of each: W bytes. */
INLINE void istoreBytes(void* p, ivec a) {
  int32_t words[4];
  memcpy(words, &a, sizeof words);
  for (int i = 0; i < 4; i++) {
    static_cast<uint8_t*>(p)[i] = uint8_t(words[i]);
  }
}
INLINE vec ifloat(ivec a) { return __builtin_convertvector(a, vec); }
/* To the nearest, halves to even, as vector instructions do. */
INLINE ivec iround(vec a) { return __builtin_convertvector(vround(a), ivec); }
/* Four 16-bit integers at p. */
INLINE void istoreQuads(int16_t* p, int64_t, ivec a) {
  for (int i = 0; i < W; i++) {
    p[i] = int16_t(a[i]);
  }
}
INLINE int32_t isum1(ivec a) { return a[0] + a[1] + a[2] + a[3]; }
/* The largest sizes, found by their bits: a number that is none counts as larger than infinity. */
INLINE vec vmostBits(vec a, vec b) {
  ivec size = (ivec)b & 0x7fffffff;
  return (vec)((ivec)a > size ? (ivec)a : size);
}
INLINE float vmostBits1(vec a) {
  int32_t most = 0;
  for (int i = 0; i < W; i++) {
    int32_t bits = ((ivec)a)[i];
    most = bits > most ? bits : most;
  }
  return fromBits(uint32_t(most));
}

INLINE float vsum1(vec a) { return (a[0] + a[2]) + (a[1] + a[3]); }
INLINE void vsum4(vec a, vec b, vec c, vec d, float* out) {
  out[0] = vsum1(a);
  out[1] = vsum1(b);
  out[2] = vsum1(c);
  out[3] = vsum1(d);
}
INLINE float vmax1(vec a) {
  float left = a[0] > a[1] ? a[0] : a[1];
  float right = a[2] > a[3] ? a[2] : a[3];
  return left > right ? left : right;
}

} // namespace
