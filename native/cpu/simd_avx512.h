/* Sixteen floats in a register: AVX-512 F, BW, DQ, VL. */
#pragma once
#include "kernels.h"
#include <immintrin.h>
#include <stdint.h>

namespace {

using vec = __m512;
constexpr int W = 16;
/* Accumulators of a tile: 4 rows by 6 tokens leave 8 of 32 registers for the operands. */
constexpr int kTileTokens = 6;
constexpr int kGemvRows = 8;

INLINE __mmask16 firstLanes(int n) { return __mmask16((1u << n) - 1); }
INLINE vec vzero() { return _mm512_setzero_ps(); }
INLINE vec vset(float v) { return _mm512_set1_ps(v); }
INLINE vec vload(const void* p) { return _mm512_loadu_ps(p); }
INLINE vec vloadn(const void* p, int n) { return _mm512_maskz_loadu_ps(firstLanes(n), p); }
INLINE void vstore(float* p, vec v) { _mm512_storeu_ps(p, v); }
INLINE void vstoren(float* p, vec v, int n) { _mm512_mask_storeu_ps(p, firstLanes(n), v); }
INLINE vec vadd(vec a, vec b) { return _mm512_add_ps(a, b); }
INLINE vec vsub(vec a, vec b) { return _mm512_sub_ps(a, b); }
INLINE vec vmul(vec a, vec b) { return _mm512_mul_ps(a, b); }
INLINE vec vdiv(vec a, vec b) { return _mm512_div_ps(a, b); }
INLINE vec vmax(vec a, vec b) { return _mm512_max_ps(a, b); }
INLINE vec vmin(vec a, vec b) { return _mm512_min_ps(a, b); }
INLINE vec vfma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vec vround(vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
/* 2^n for integral n in [-126, 127] */
INLINE vec vpow2(vec n) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}
INLINE uint32_t vequal(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }

INLINE vec fromBf16(__m256i v) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v), 16)); }
INLINE vec vloadBf16(const void* p) { return fromBf16(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
INLINE vec vloadnBf16(const void* p, int n) { return fromBf16(_mm256_maskz_loadu_epi16(firstLanes(n), p)); }
INLINE vec vloadF16(const void* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p))); }
INLINE vec vloadnF16(const void* p, int n) { return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(firstLanes(n), p)); }
INLINE vec vloadI8(const void* p) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))));
}
INLINE vec vloadnI8(const void* p, int n) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(firstLanes(n), p)));
}
INLINE void vstoreF16(void* p, vec v, int n) {
  _mm256_mask_storeu_epi16(p, firstLanes(n), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Rounded to the nearest, halves to even; what is no number stays none. */
INLINE void vstoreBf16(void* p, vec v, int n) {
  __m512i bits = _mm512_castps_si512(v);
  __m512i upper = _mm512_srli_epi32(bits, 16);
  __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
  __mmask16 none = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, none, upper, _mm512_set1_epi32(0x40));
  _mm256_mask_storeu_epi16(p, firstLanes(n), _mm512_cvtepi32_epi16(rounded));
}
/* 2 W elements: those of even index and those of odd. */
INLINE void vloadBf16Pair(const void* p, vec& even, vec& odd) {
  __m512i words = _mm512_loadu_si512(p);
  even = _mm512_castsi512_ps(_mm512_slli_epi32(words, 16));
  odd = _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(int(0xffff0000))));
}
/* 2 W elements in their order to those of even index and those of odd, and back. */
INLINE void vdeinterleave(vec& a, vec& b) {
  __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  vec low = a;
  a = _mm512_permutex2var_ps(low, even, b);
  b = _mm512_permutex2var_ps(low, _mm512_add_epi32(even, _mm512_set1_epi32(1)), b);
}
INLINE void vinterleave(vec& a, vec& b) {
  __m512i first = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  vec low = a;
  a = _mm512_permutex2var_ps(low, first, b);
  b = _mm512_permutex2var_ps(low, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b);
}
/* The lanes whose bit is set take the following values in turn, the others are 0. */
INLINE vec vexpand(uint32_t mask, vec packed) { return _mm512_maskz_expand_ps(__mmask16(mask), packed); }
INLINE vec vkeep(uint32_t mask, vec v) { return _mm512_maskz_mov_ps(__mmask16(mask), v); }
/* W bits of a bitmap from column c on, a multiple of W; n of them are columns. */
INLINE uint32_t vbits(const uint8_t* bitmap, int64_t c, int n) {
  const uint8_t* p = bitmap + (c >> 3);
  return n > 8 ? uint32_t(p[0]) | uint32_t(p[1]) << 8 : uint32_t(p[0]);
}

/* The sums of the lanes of four vectors. vsum1 adds in the same order. */
INLINE void vsum4(vec a, vec b, vec c, vec d, float* out) {
  vec ab = vadd(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  vec cd = vadd(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  vec low = _mm512_shuffle_ps(ab, cd, 0x44);
  vec high = _mm512_shuffle_ps(ab, cd, 0xee);
  vec abcd = vadd(low, high);
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(abcd), _mm512_extractf32x8_ps(abcd, 1));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
/* vsum4 of a[j], b[j], c[j], d[j] for four j at once, with the same bits: first each four, then their quarters. Sums of j
 * are in quarter j. */
#define LATHE_SUM_16
INLINE vec vsumFours(vec a, vec b, vec c, vec d) {
  vec ab = vadd(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  vec cd = vadd(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  return vadd(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
}
INLINE vec vsumQuarters(vec a, vec b, vec c, vec d) {
  vec low = vadd(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  vec high = vadd(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
  return vadd(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
}
INLINE vec vsum16(const vec (&a)[4], const vec (&b)[4], const vec (&c)[4], const vec (&d)[4]) {
  vec s[4];
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    s[j] = vsumFours(a[j], b[j], c[j], d[j]);
  }
  return vsumQuarters(s[0], s[1], s[2], s[3]);
}
INLINE vec vfours(four v) { return _mm512_broadcast_f32x4(__m128(v)); }
/* Quarter j goes to out + j stride, where `add` says so on top of what is there. */
INLINE void vstoreFours(float* out, int64_t stride, vec v, bool add) {
  __m128 part[4] = {_mm512_castps512_ps128(v), _mm512_extractf32x4_ps(v, 1), _mm512_extractf32x4_ps(v, 2),
                    _mm512_extractf32x4_ps(v, 3)};
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    float* to = out + j * stride;
    _mm_storeu_ps(to, add ? _mm_add_ps(_mm_loadu_ps(to), part[j]) : part[j]);
  }
}
INLINE float vsum1(vec a) {
  vec pair = vadd(a, _mm512_permute_ps(a, 0x4e));
  vec quad = vadd(pair, _mm512_permute_ps(pair, 0xb1));
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quad), _mm512_extractf32x8_ps(quad, 1));
  return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/* For rows of W / 2 elements, two a register: narrow_impl.h. */
#define LATHE_TWO_ROWS
INLINE vec vtwice(const float* p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
/* Element I of each quarter, in all of that quarter. */
template <int I> INLINE vec vspreadQuarters(vec v) { return _mm512_permute_ps(v, I * 0x55); }
/* Transposes the 4 x 4 in each quarter of four registers. */
INLINE void vtransposeQuarters(vec (&r)[4]) {
  vec a = _mm512_unpacklo_ps(r[0], r[1]);
  vec b = _mm512_unpackhi_ps(r[0], r[1]);
  vec c = _mm512_unpacklo_ps(r[2], r[3]);
  vec d = _mm512_unpackhi_ps(r[2], r[3]);
  auto low = [](vec x, vec y) {
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
  };
  auto high = [](vec x, vec y) {
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
  };
  r[0] = low(a, c);
  r[1] = high(a, c);
  r[2] = low(b, d);
  r[3] = high(b, d);
}
/* Quarters 0 + 1 and 2 + 3 of a, then of b. */
INLINE vec vaddQuarters(vec a, vec b) {
  return vadd(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
/* Lane `low` in the lower half, lane `low` + 4 in the upper. */
INLINE vec vspreadHalves(vec v, int low) {
  __m512i upper = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 4, 4, 4, 4);
  return _mm512_permutexvar_ps(_mm512_add_epi32(upper, _mm512_set1_epi32(low)), v);
}
/* The lanes whose bit is set, and minus infinity in the others. */
INLINE vec vkeepOrLeast(uint32_t mask, vec v) {
  return _mm512_mask_blend_ps(__mmask16(mask), _mm512_set1_ps(-__builtin_inff()), v);
}
INLINE vec vloadMask(const void* p, uint32_t mask) { return _mm512_maskz_loadu_ps(__mmask16(mask), p); }
INLINE vec vloadMaskF16(const void* p, uint32_t mask) {
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(__mmask16(mask), p));
}
INLINE vec vloadMaskBf16(const void* p, uint32_t mask) {
  return fromBf16(_mm256_maskz_loadu_epi16(__mmask16(mask), p));
}
/* 2^x within 2 units in the last place for x <= 0; below -126 the value there. NaN stays NaN. 2^0 is 1. Adding
 * 1.5 * 2^23 rounds to an integer and leaves it in the low bits; the polynomial has the least relative error on
 * [-1/2, 1/2] of those of degree 5 that are 1 at 0: 9.2e-8, found by iteratively reweighted least squares. */
INLINE vec vexp2(vec x) {
  x = vmax(vset(-126), x);
  vec shifted = vadd(x, vset(12582912.0f));
  vec r = vsub(x, vsub(shifted, vset(12582912.0f)));
  vec p = vset(1.326472731307149e-3f);
  p = vfma(p, r, vset(9.671512991189957e-3f));
  p = vfma(p, r, vset(5.550733581185341e-2f));
  p = vfma(p, r, vset(2.4022242426872253e-1f));
  p = vfma(p, r, vset(6.931470036506653e-1f));
  p = vfma(p, r, vset(1));
  __m512i power = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23), _mm512_set1_epi32(127 << 23));
  return vmul(p, _mm512_castsi512_ps(power));
}
INLINE vec vsumHalves(vec v) { return vadd(v, _mm512_shuffle_f32x4(v, v, 0x4e)); }

using ivec = __m512i;
INLINE ivec izero() { return _mm512_setzero_si512(); }
INLINE ivec iload(const void* p) { return _mm512_loadu_si512(p); }
INLINE ivec ispread(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}
INLINE ivec iadd(ivec a, ivec b) { return _mm512_add_epi32(a, b); }
INLINE ivec imul(ivec a, ivec b) { return _mm512_mullo_epi32(a, b); }
INLINE ivec itimes128(ivec a) { return _mm512_slli_epi32(a, 7); }
/* Bytes 0, 2, 4 ... and 1, 3, 5 ... as 16-bit integers without a sign. */
INLINE ivec ievenBytes(ivec a) { return _mm512_and_si512(a, _mm512_set1_epi16(255)); }
INLINE ivec ioddBytes(ivec a) { return _mm512_srli_epi16(a, 8); }
/* The same, which the compiler doesn't know. */
INLINE ivec iopaque(ivec a) {
  __asm__ volatile("" : "+v"(a));
  return a;
}
/* acc[i] + a[2i] b[2i] + a[2i + 1] b[2i + 1] of 16-bit integers */
INLINE ivec idot(ivec acc, ivec a, ivec b) {
#ifdef __AVX512VNNI__
  /* The intrinsic makes GCC copy accumulators about in the innermost loop. */
  __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
#else
  return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
#endif
}
#ifdef __AVX512VNNI__
#define LATHE_DOTS_BYTES
/* acc[i] + the sum of a[4i + k] b[4i + k], a without a sign */
INLINE ivec idotBytes(ivec acc, ivec a, ivec b) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
/* The same of four bytes at p, over and over. */
INLINE void idotSpread(ivec& acc, ivec a, const int8_t* p) {
  __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(acc) : "v"(a), "m"(*reinterpret_cast<const int8_t(*)[4]>(p)));
}
/* a * 256, and a / 256 rounded to the nearest, halves up */
INLINE ivec itimes256(ivec a) { return _mm512_slli_epi32(a, 8); }
INLINE ivec idivide256(ivec a) { return _mm512_srai_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(128)), 8); }
INLINE ivec isub(ivec a, ivec b) { return _mm512_sub_epi32(a, b); }
/* In each quarter the first bytes of four integers, then their second ones, then zeros. */
INLINE ivec isplitBytes(ivec a) {
  const __m128i order = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, -1, -1, -1, -1, -1, -1, -1, -1);
  return _mm512_shuffle_epi8(a, _mm512_broadcast_i32x4(order));
}
INLINE void istore(void* p, ivec a) { _mm512_storeu_si512(p, a); }
/* Four bytes each at p, p + step ..., in the order 0, 2, 1, 3. */
INLINE void istoreByteQuads(int8_t* p, int64_t step, ivec a) {
  const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
  __m128i bytes = _mm_shuffle_epi8(_mm512_cvtepi32_epi8(a), order);
  int32_t words[4] = {_mm_cvtsi128_si32(bytes), _mm_extract_epi32(bytes, 1), _mm_extract_epi32(bytes, 2),
                      _mm_extract_epi32(bytes, 3)};
  for (int i = 0; i < 4; i++) {
    __builtin_memcpy(p + i * step, words + i, 4);
  }
}
#endif
/* The first byte of each: W bytes. */
INLINE void istoreBytes(void* p, ivec a) { _mm_storeu_si128(static_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a)); }
INLINE vec ifloat(ivec a) { return _mm512_cvtepi32_ps(a); }
INLINE ivec iround(vec a) { return _mm512_cvtps_epi32(a); }
/* Four 16-bit integers each at p, p + step ... */
INLINE void istoreQuads(int16_t* p, int64_t step, ivec a) {
  __m256i narrow = _mm512_cvtepi32_epi16(a);
  __m128i low = _mm256_castsi256_si128(narrow);
  __m128i high = _mm256_extracti128_si256(narrow, 1);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), low);
  _mm_storeh_pd(reinterpret_cast<double*>(p + step), _mm_castsi128_pd(low));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p + 2 * step), high);
  _mm_storeh_pd(reinterpret_cast<double*>(p + 3 * step), _mm_castsi128_pd(high));
}
INLINE int32_t isum1(ivec a) { return _mm512_reduce_add_epi32(a); }
/* The largest sizes, found by their bits: a number that is none counts as larger than infinity. */
INLINE vec vmostBits(vec a, vec b) {
  __m512i size = _mm512_and_si512(_mm512_castps_si512(b), _mm512_set1_epi32(0x7fffffff));
  return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_castps_si512(a), size));
}
INLINE float vmostBits1(vec a) {
  int32_t bits = _mm512_reduce_max_epi32(_mm512_castps_si512(a));
  float most;
  __builtin_memcpy(&most, &bits, sizeof most);
  return most;
}

INLINE float vmax1(vec a) { return _mm512_reduce_max_ps(a); }

#ifdef __AVX512BF16__
/* For bf16_attention_impl.h. A register holds 32 numbers in BF16. What is too small to be a normal number counts as 0. */
#define LATHE_BF16_PRODUCTS
using bvec = __m512i;
INLINE bvec bload(const void* p) { return _mm512_loadu_si512(p); }
INLINE bvec bloadIf(bool wanted, const void* p) { return _mm512_maskz_loadu_epi16(wanted ? ~__mmask32(0) : 0, p); }
INLINE void bstore(void* p, bvec v) { _mm512_storeu_si512(p, v); }
INLINE void bstoreHalf(void* p, bvec v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_castsi512_si256(v));
}
/* Rounded to the nearest, halves to even; what is no number stays none. */
INLINE bvec bround(vec low, vec high) { return (bvec)_mm512_cvtne2ps_pbh(high, low); }
INLINE vec beven(bvec a) { return _mm512_castsi512_ps(_mm512_slli_epi32(a, 16)); }
INLINE vec bodd(bvec a) { return _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(int(0xffff0000)))); }
/* The two numbers at p, over and over. */
INLINE bvec bspreadPair(const void* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}
/* Pairs of an element of a and the one of b, of the first half of each quarter (High: the second). */
template <bool High> INLINE bvec bpairs(bvec a, bvec b) {
  return High ? _mm512_unpackhi_epi16(a, b) : _mm512_unpacklo_epi16(a, b);
}
/* The first pairs of pairs of a and of b in each quarter, and the second ones. */
INLINE bvec bevenPairs(bvec a, bvec b) { return _mm512_unpacklo_epi64(a, b); }
INLINE bvec boddPairs(bvec a, bvec b) { return _mm512_unpackhi_epi64(a, b); }
/* Neighbours added, of a and then of b in each quarter. */
INLINE vec vsumPairs(vec a, vec b) { return vadd(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)); }
/* What was summed by pairs of the first halves, and of the second ones, in the order of the elements. */
INLINE void vjoinHalves(vec& a, vec& b) {
  __m512i first = _mm512_setr_epi32(0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  vec low = a;
  a = _mm512_permutex2var_ps(low, first, b);
  b = _mm512_permutex2var_ps(low, _mm512_add_epi32(first, _mm512_set1_epi32(8)), b);
}
/* acc[i] + a[2i] b[2i] + a[2i + 1] b[2i + 1] */
INLINE vec bdot(vec acc, bvec a, bvec b) {
  /* The intrinsic makes GCC copy accumulators about. */
  __asm__("vdpbf16ps %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
  return acc;
}
#endif

} // namespace
