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
INLINE float vsum1(vec a) {
  vec pair = vadd(a, _mm512_permute_ps(a, 0x4e));
  vec quad = vadd(pair, _mm512_permute_ps(pair, 0xb1));
  __m256 half = _mm256_add_ps(_mm512_castps512_ps256(quad), _mm512_extractf32x8_ps(quad, 1));
  return _mm_cvtss_f32(_mm_add_ss(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}

/* For rows of W / 2 elements, two a register. */
#define LATHE_TWO_ROWS
INLINE vec vtwice(const float* p) { return _mm512_broadcast_f32x8(_mm256_loadu_ps(p)); }
/* The sums of the 16 halves of eight registers, in the order of memory; each half adds as vsum4 does. */
INLINE vec vsumPairs(vec a, vec b, vec c, vec d, vec e, vec f, vec g, vec h) {
  vec ab = vadd(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  vec cd = vadd(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  vec ef = vadd(_mm512_unpacklo_ps(e, f), _mm512_unpackhi_ps(e, f));
  vec gh = vadd(_mm512_unpacklo_ps(g, h), _mm512_unpackhi_ps(g, h));
  vec abcd = vadd(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  vec efgh = vadd(_mm512_shuffle_ps(ef, gh, 0x44), _mm512_shuffle_ps(ef, gh, 0xee));
  /* Quarters 0 and 1 belong to the first row, 2 and 3 to the second. */
  vec sums = vadd(_mm512_shuffle_f32x4(abcd, efgh, 0x88), _mm512_shuffle_f32x4(abcd, efgh, 0xdd));
  return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15), sums);
}
/* Lane 2 pair in the lower half, lane 2 pair + 1 in the upper. */
INLINE vec vspreadPair(vec v, int pair) {
  __m512i second = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
  return _mm512_permutexvar_ps(_mm512_add_epi32(second, _mm512_set1_epi32(2 * pair)), v);
}
INLINE vec vsumHalves(vec v) { return vadd(v, _mm512_shuffle_f32x4(v, v, 0x4e)); }

INLINE float vmax1(vec a) { return _mm512_reduce_max_ps(a); }

} // namespace
