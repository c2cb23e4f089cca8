/* half for g++: the part of CUDA's header of this name that the kernels use. */
#pragma once
#include <bit>
#include <cstdint>

struct alignas(2) __half {
  uint16_t bits;
};

inline float __half2float(__half x) {
  uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000) << 16, exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | fraction << 13);
  // A subnormal half is a normal float: fraction * 2^-24.
  if (exponent == 0) {
    float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/** Rounds to nearest, ties to even; a NaN stays one, what is too large becomes infinite. */
inline __half __float2half_rn(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return {0x7fff};
  if (magnitude >= 0x477ff000) return {static_cast<uint16_t>(sign | 0x7c00)};  // 65520 and more
  uint32_t shift = 13, kept = magnitude - (112u << 23);  // the half's exponent has another bias
  if (magnitude < 0x38800000) {                          // below 2^-14: a multiple of 2^-24, or nothing of it is left
    if (magnitude < 0x33000000) return {static_cast<uint16_t>(sign)};
    shift = 126 - (magnitude >> 23);
    kept = (magnitude & 0x7fffff) | 0x800000;
  }
  uint32_t rest = kept & ((1u << shift) - 1), half = 1u << (shift - 1);
  kept >>= shift;
  return {static_cast<uint16_t>(sign | (kept + (rest > half || (rest == half && (kept & 1) != 0))))};
}
inline __half __float2half(float x) { return __float2half_rn(x); }
