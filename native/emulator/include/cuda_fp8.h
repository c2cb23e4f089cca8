/* 8-bit floats for g++: the part of CUDA's header of this name that kernels use. Rounding is to nearest, ties to even.
 *
 *   e4m3   up to 448, no infinity, NaN is 0x7f      e5m2   up to 57344, infinity 0x7c, NaN is 0x7f
 */
#pragma once
#include "cuda_fp16.h"

using __nv_fp8_storage_t = unsigned char;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };

namespace lathe_fp8 {

inline __nv_fp8_storage_t encode(float x, __nv_saturation_t saturation, __nv_fp8_interpretation_t type) {
  const int fraction_bits = type == __NV_E4M3 ? 3 : 2, bias = type == __NV_E4M3 ? 7 : 15;
  const int largest = type == __NV_E4M3 ? 0x7e : 0x7b;
  if (x != x) return 0x7f;
  int sign = std::signbit(x) ? 0x80 : 0, code = 0;
  if (std::isinf(x)) {
    code = largest + 1;
  } else if (x != 0) {
    int exponent = std::ilogb(x) + bias;  // as stored; below 1 it is subnormal
    if (exponent < 1) exponent = 1;
    int fraction = static_cast<int>(std::nearbyint(std::scalbn(std::fabs(x), bias + fraction_bits - exponent)));
    // A fraction that was rounded up to the next power of two carries into the exponent.
    long wide = (static_cast<long>(exponent) - 1) * (1 << fraction_bits) + fraction;
    code = wide > largest ? largest + 1 : static_cast<int>(wide);
  }
  if (code > largest && saturation == __NV_SATFINITE) code = largest;
  return static_cast<__nv_fp8_storage_t>(sign | code);
}

inline float decode(__nv_fp8_storage_t x, __nv_fp8_interpretation_t type) {
  // e5m2 is a half without its lower byte.
  if (type == __NV_E5M2) return lathe_half::to_float(static_cast<uint16_t>(x << 8));
  int exponent = x >> 3 & 15, fraction = x & 7;
  if ((x & 0x7f) == 0x7f) return std::bit_cast<float>(0x7fffffffu);
  float magnitude = exponent == 0 ? std::scalbn(static_cast<float>(fraction), -9)
                                  : std::scalbn(static_cast<float>(8 + fraction), exponent - 10);
  return x & 0x80 ? -magnitude : magnitude;
}

}  // namespace lathe_fp8

inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float x, __nv_saturation_t saturation,
                                                __nv_fp8_interpretation_t type) {
  return lathe_fp8::encode(x, saturation, type);
}
inline __half_raw __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t x, __nv_fp8_interpretation_t type) {
  return __half(lathe_fp8::decode(x, type));
}

struct __nv_fp8_e4m3 {
  __nv_fp8_storage_t __x;
  __nv_fp8_e4m3() = default;
  explicit __nv_fp8_e4m3(float x) : __x(lathe_fp8::encode(x, __NV_SATFINITE, __NV_E4M3)) {}
  explicit operator float() const { return lathe_fp8::decode(__x, __NV_E4M3); }
};
struct __nv_fp8_e5m2 {
  __nv_fp8_storage_t __x;
  __nv_fp8_e5m2() = default;
  explicit __nv_fp8_e5m2(float x) : __x(lathe_fp8::encode(x, __NV_SATFINITE, __NV_E5M2)) {}
  explicit operator float() const { return lathe_fp8::decode(__x, __NV_E5M2); }
};
