/* Rows of numbers as INT8 codes that share a scale, to the bit what ActivationFormat.INT8 says: a token's activations, or its
 * key or value under one head.
 *
 *   scale = largest / 127,  code = round-half-even(x * (127 / largest)),  largest = max(max|x|, 1e-30), each step in fp32
 *   a row that holds a NaN or an infinity: scale NaN, codes 0
 */
#pragma once
#include "lathe_cuda.cuh"

/** Magnitudes order as their bits do, and a NaN comes last. */
__device__ __forceinline__ unsigned magnitude(float value) { return __float_as_uint(value) & 0x7fffffffu; }

/** What a row's values become. */
struct Rounding {
  float inverse, scale;
  bool finite;

  __device__ __forceinline__ explicit Rounding(unsigned largest) : finite(largest < 0x7f800000u) {
    constexpr float kMost = 127, kLeast = 1e-30f;  // below it a step is as of this, so that its inverse is a number
    float base = fmaxf(__uint_as_float(largest), kLeast);
    inverse = __fdiv_rn(kMost, base);
    scale = finite ? __fdiv_rn(base, kMost) : __uint_as_float(0x7fc00000u);
  }
  __device__ __forceinline__ int8_t code(float value) const {
    return finite ? static_cast<int8_t>(__float2int_rn(__fmul_rn(value, inverse))) : int8_t{0};
  }
};

/** Codes that lie together, stored with one instruction. */
template <int kCount>
struct alignas(kCount) Codes {
  int8_t values[kCount];
};
