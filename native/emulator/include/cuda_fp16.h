/* half for g++: the part of CUDA's header of this name that kernels use. */
#pragma once
#include "lathe_narrow.h"
#include "lathe_vectors.h"

namespace lathe_half {

inline float to_float(uint16_t half) {
  uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | fraction << 13);
  // A subnormal half is a normal float: fraction * 2^-24.
  if (exponent == 0) {
    float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

/** Rounds to nearest, ties to even; a NaN becomes 0x7fff, what is too large becomes infinite. */
inline uint16_t from_float(float x) {
  uint32_t bits = std::bit_cast<uint32_t>(x), sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return 0x7fff;
  if (magnitude >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);  // 65520 and more
  uint32_t shift = 13, kept = magnitude - (112u << 23);                      // the half's exponent has another bias
  if (magnitude < 0x38800000) {  // below 2^-14: a multiple of 2^-24, or nothing of it is left
    if (magnitude < 0x33000000) return static_cast<uint16_t>(sign);
    shift = 126 - (magnitude >> 23);
    kept = (magnitude & 0x7fffff) | 0x800000;
  }
  uint32_t rest = kept & ((1u << shift) - 1), half = 1u << (shift - 1);
  kept >>= shift;
  return static_cast<uint16_t>(sign | (kept + (rest > half || (rest == half && (kept & 1) != 0))));
}

}  // namespace lathe_half

struct __half_raw {
  unsigned short x;
};
struct alignas(2) __half {
  __half() = default;
  __half(float x) : bits_(lathe_half::from_float(x)) {}
  __half(__half_raw raw) : bits_(raw.x) {}
  operator float() const { return lathe_half::to_float(bits_); }
  operator __half_raw() const { return {bits_}; }

 private:
  uint16_t bits_;
};
struct alignas(4) __half2 {
  __half x, y;
};
using half = __half;
using half2 = __half2;

inline unsigned short __half_as_ushort(__half x) { return std::bit_cast<unsigned short>(x); }
inline short __half_as_short(__half x) { return std::bit_cast<short>(x); }
inline __half __ushort_as_half(unsigned short x) { return std::bit_cast<__half>(x); }
inline __half __short_as_half(short x) { return std::bit_cast<__half>(x); }

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline __half __double2half(double x) { return lathe_narrow::to_odd(x); }
inline __half __int2half_rn(int x) { return lathe_narrow::to_odd(x); }
inline float2 __half22float2(__half2 x) { return {__half2float(x.x), __half2float(x.y)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
inline __half2 __float22half2_rn(float2 x) { return {x.x, x.y}; }
inline __half2 __float2half2_rn(float x) { return {x, x}; }
inline __half2 __half2half2(__half x) { return {x, x}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half __low2half(__half2 x) { return x.x; }
inline __half __high2half(__half2 x) { return x.y; }
inline float __low2float(__half2 x) { return x.x; }
inline float __high2float(__half2 x) { return x.y; }

LATHE_NARROW_ARITHMETIC(__half, __half2, __half2float, __float2half_rn)
