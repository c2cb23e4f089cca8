/* Eight floats in a register: AVX2, FMA, F16C, BMI2. */
#pragma once
#include "kernels.h"
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

namespace {

using vec = __m256;
constexpr int W = 8;
/* Accumulators of a tile: 4 rows by 3 tokens leave 4 of 16 registers for the operands. */
constexpr int kTileTokens = 3;
constexpr int kGemvRows = 8;

INLINE __m256i firstLanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE vec vzero() { return _mm256_setzero_ps(); }
INLINE vec vset(float v) { return _mm256_set1_ps(v); }
INLINE vec vload(const void* p) { return _mm256_loadu_ps(static_cast<const float*>(p)); }
INLINE vec vloadn(const void* p, int n) { return _mm256_maskload_ps(static_cast<const float*>(p), firstLanes(n)); }
INLINE void vstore(float* p, vec v) { _mm256_storeu_ps(p, v); }
INLINE void vstoren(float* p, vec v, int n) { _mm256_maskstore_ps(p, firstLanes(n), v); }
INLINE vec vadd(vec a, vec b) { return _mm256_add_ps(a, b); }
INLINE vec vsub(vec a, vec b) { return _mm256_sub_ps(a, b); }
INLINE vec vmul(vec a, vec b) { return _mm256_mul_ps(a, b); }
INLINE vec vdiv(vec a, vec b) { return _mm256_div_ps(a, b); }
INLINE vec vmax(vec a, vec b) { return _mm256_max_ps(a, b); }
INLINE vec vmin(vec a, vec b) { return _mm256_min_ps(a, b); }
INLINE vec vfma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vec vround(vec a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE vec vpow2(vec n) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
INLINE uint32_t vequal(vec a, vec b) { return uint32_t(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_EQ_OQ))); }

INLINE vec fromBf16(__m128i v) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(v), 16)); }
INLINE __m128i load16(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
/* n narrow elements of `bytes` bytes, the rest zero; reads nothing beyond them. */
INLINE __m128i loadPart(const void* p, int bytes) {
  alignas(16) uint8_t part[16] = {};
  memcpy(part, p, size_t(bytes));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(part));
}
INLINE vec vloadBf16(const void* p) { return fromBf16(load16(p)); }
INLINE vec vloadnBf16(const void* p, int n) { return fromBf16(loadPart(p, 2 * n)); }
INLINE vec vloadF16(const void* p) { return _mm256_cvtph_ps(load16(p)); }
INLINE vec vloadnF16(const void* p, int n) { return _mm256_cvtph_ps(loadPart(p, 2 * n)); }
INLINE vec vloadI8(const void* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}
INLINE vec vloadnI8(const void* p, int n) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(loadPart(p, n))); }
INLINE void vstoreF16(void* p, vec v, int n) {
  alignas(16) uint16_t half[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(half), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  memcpy(p, half, size_t(2 * n));
}
/* Rounded to the nearest, halves to even; what is no number stays none. */
INLINE void vstoreBf16(void* p, vec v, int n) {
  __m256i bits = _mm256_castps_si256(v);
  __m256i upper = _mm256_srli_epi32(bits, 16);
  __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff))), 16);
  __m256i none = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
  rounded = _mm256_blendv_epi8(rounded, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), none);
  alignas(16) uint16_t narrow[8];
  _mm_store_si128(reinterpret_cast<__m128i*>(narrow), _mm_packus_epi32(_mm256_castsi256_si128(rounded),
                                                                       _mm256_extracti128_si256(rounded, 1)));
  memcpy(p, narrow, size_t(2 * n));
}
/* 2 W elements: those of even index and those of odd. */
INLINE void vloadBf16Pair(const void* p, vec& even, vec& odd) {
  __m256i words = _mm256_loadu_si256(static_cast<const __m256i*>(p));
  even = _mm256_castsi256_ps(_mm256_slli_epi32(words, 16));
  odd = _mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(int(0xffff0000))));
}
/* 2 W elements in their order to those of even index and those of odd, and back. */
INLINE void vdeinterleave(vec& a, vec& b) {
  auto sorted = [](vec v) { return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(v), 0xd8)); };
  vec low = a;
  a = sorted(_mm256_shuffle_ps(low, b, 0x88));
  b = sorted(_mm256_shuffle_ps(low, b, 0xdd));
}
INLINE void vinterleave(vec& a, vec& b) {
  vec low = _mm256_unpacklo_ps(a, b);
  vec high = _mm256_unpackhi_ps(a, b);
  a = _mm256_permute2f128_ps(low, high, 0x20);
  b = _mm256_permute2f128_ps(low, high, 0x31);
}
INLINE vec vkeep(uint32_t mask, vec v) {
  __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  __m256i set = _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(int(mask)), bit), bit);
  return _mm256_and_ps(v, _mm256_castsi256_ps(set));
}
INLINE vec vexpand(uint32_t mask, vec packed) {
  /* Byte i of `ranks` becomes the number of set bits below bit i where bit i is set. */
  uint64_t spread = _pdep_u64(mask, 0x0101010101010101u) * 0xff;
  uint64_t ranks = _pdep_u64(0x0706050403020100u, spread);
  __m256i index = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(int64_t(ranks)));
  return vkeep(mask, _mm256_permutevar8x32_ps(packed, index));
}
INLINE uint32_t vbits(const uint8_t* bitmap, int64_t c, int) { return bitmap[c >> 3]; }

INLINE void vsum4(vec a, vec b, vec c, vec d, float* out) {
  vec ab = vadd(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  vec cd = vadd(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  vec abcd = vadd(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xee));
  _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}
INLINE float vsum1(vec a) {
  vec pair = vadd(a, _mm256_permute_ps(a, 0x4e));
  vec quad = vadd(pair, _mm256_permute_ps(pair, 0xb1));
  return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(quad), _mm256_extractf128_ps(quad, 1)));
}
using ivec = __m256i;
INLINE ivec izero() { return _mm256_setzero_si256(); }
INLINE ivec iload(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
INLINE ivec ispread(const void* p) {
  int32_t word;
  memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}
INLINE ivec iadd(ivec a, ivec b) { return _mm256_add_epi32(a, b); }
INLINE ivec imul(ivec a, ivec b) { return _mm256_mullo_epi32(a, b); }
INLINE ivec itimes128(ivec a) { return _mm256_slli_epi32(a, 7); }
/* Bytes 0, 2, 4 ... and 1, 3, 5 ... as 16-bit integers without a sign. */
INLINE ivec ievenBytes(ivec a) { return _mm256_and_si256(a, _mm256_set1_epi16(255)); }
INLINE ivec ioddBytes(ivec a) { return _mm256_srli_epi16(a, 8); }
/* The same, which the compiler doesn't know. */
INLINE ivec iopaque(ivec a) {
  __asm__ volatile("" : "+x"(a));
  return a;
}
/* acc[i] + a[2i] b[2i] + a[2i + 1] b[2i + 1] of 16-bit integers */
INLINE ivec idot(ivec acc, ivec a, ivec b) { return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b)); }
/* The first byte of each: W bytes. */
INLINE void istoreBytes(void* p, ivec a) {
  alignas(32) int32_t words[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(words), a);
  for (int i = 0; i < 8; i++) {
    static_cast<uint8_t*>(p)[i] = uint8_t(words[i]);
  }
}
INLINE vec ifloat(ivec a) { return _mm256_cvtepi32_ps(a); }
INLINE ivec iround(vec a) { return _mm256_cvtps_epi32(a); }
/* Four 16-bit integers each at p and p + step. */
INLINE void istoreQuads(int16_t* p, int64_t step, ivec a) {
  __m128i narrow = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), narrow);
  _mm_storeh_pd(reinterpret_cast<double*>(p + step), _mm_castsi128_pd(narrow));
}
INLINE int32_t isum1(ivec a) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}
/* The largest sizes, found by their bits: a number that is none counts as larger than infinity. */
INLINE vec vmostBits(vec a, vec b) {
  __m256i size = _mm256_and_si256(_mm256_castps_si256(b), _mm256_set1_epi32(0x7fffffff));
  return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_castps_si256(a), size));
}
INLINE float vmostBits1(vec a) {
  __m128i half = _mm_max_epi32(_mm_castps_si128(_mm256_castps256_ps128(a)),
                               _mm_castps_si128(_mm256_extractf128_ps(a, 1)));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(half));
}

INLINE float vmax1(vec a) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

} // namespace
