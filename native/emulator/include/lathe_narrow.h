/* Arithmetic that half and bfloat16 have in common. Each operation rounds once, to nearest, ties to even. */
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace lathe_narrow {

/** To float, rounded to odd: rounding that again, to a format with two bits fewer, is as good as rounding once. */
inline float to_odd(double x) {
  float rounded = static_cast<float>(x);
  if (static_cast<double>(rounded) == x || x != x) return rounded;
  uint32_t bits = std::bit_cast<uint32_t>(rounded);
  if (std::fabs(static_cast<double>(rounded)) > std::fabs(x)) bits--;
  return std::bit_cast<float>(bits | 1);
}

/** a * b + c; the product of two narrow numbers is exact in double. */
inline float fma_to_odd(float a, float b, float c) {
  double product = static_cast<double>(a) * b, sum = product + c;
  double back = sum - product, rest = (product - (sum - back)) + (c - back);  // what the sum lost (Knuth's two-sum)
  if (rest != 0 && std::isfinite(sum)) {
    uint64_t bits = std::bit_cast<uint64_t>(sum);
    if ((rest < 0) == (sum > 0)) bits--;  // the sum was rounded away from zero
    sum = std::bit_cast<double>(bits | 1);
  }
  return to_odd(sum);
}

}  // namespace lathe_narrow

// T: the type; T2: a pair of them; TO, FROM: its conversions to float and from it.
#define LATHE_NARROW_ARITHMETIC(T, T2, TO, FROM)                                                            \
  inline T __hadd(T a, T b) { return FROM(TO(a) + TO(b)); }                                                 \
  inline T __hsub(T a, T b) { return FROM(TO(a) - TO(b)); }                                                 \
  inline T __hmul(T a, T b) { return FROM(::lathe_narrow::to_odd(static_cast<double>(TO(a)) * TO(b))); }    \
  inline T __hdiv(T a, T b) { return FROM(::lathe_narrow::to_odd(static_cast<double>(TO(a)) / TO(b))); }    \
  inline T __hadd_rn(T a, T b) { return __hadd(a, b); }                                                     \
  inline T __hsub_rn(T a, T b) { return __hsub(a, b); }                                                     \
  inline T __hmul_rn(T a, T b) { return __hmul(a, b); }                                                     \
  inline T __hfma(T a, T b, T c) { return FROM(::lathe_narrow::fma_to_odd(TO(a), TO(b), TO(c))); }          \
  inline T __hneg(T a) { return FROM(-TO(a)); }                                                             \
  inline T __habs(T a) { return FROM(std::fabs(TO(a))); }                                                   \
  inline T __hmin(T a, T b) { return FROM(fminf(TO(a), TO(b))); }                                           \
  inline T __hmax(T a, T b) { return FROM(fmaxf(TO(a), TO(b))); }                                           \
  inline bool __heq(T a, T b) { return TO(a) == TO(b); }                                                    \
  inline bool __hne(T a, T b) { return TO(a) < TO(b) || TO(a) > TO(b); }                                    \
  inline bool __hlt(T a, T b) { return TO(a) < TO(b); }                                                     \
  inline bool __hle(T a, T b) { return TO(a) <= TO(b); }                                                    \
  inline bool __hgt(T a, T b) { return TO(a) > TO(b); }                                                     \
  inline bool __hge(T a, T b) { return TO(a) >= TO(b); }                                                    \
  inline bool __hisnan(T a) { return std::isnan(TO(a)); }                                                   \
  inline T hexp(T a) { return FROM(std::exp(TO(a))); }                                                      \
  inline T hrsqrt(T a) { return FROM(static_cast<float>(1.0 / std::sqrt(static_cast<double>(TO(a))))); }    \
  inline T operator+(T a, T b) { return __hadd(a, b); }                                                     \
  inline T operator-(T a, T b) { return __hsub(a, b); }                                                     \
  inline T operator*(T a, T b) { return __hmul(a, b); }                                                     \
  inline T operator/(T a, T b) { return __hdiv(a, b); }                                                     \
  inline T operator-(T a) { return __hneg(a); }                                                             \
  inline T& operator+=(T& a, T b) { return a = a + b; }                                                     \
  inline T& operator-=(T& a, T b) { return a = a - b; }                                                     \
  inline T& operator*=(T& a, T b) { return a = a * b; }                                                     \
  inline bool operator==(T a, T b) { return __heq(a, b); }                                                  \
  inline bool operator!=(T a, T b) { return !(TO(a) == TO(b)); }                                            \
  inline bool operator<(T a, T b) { return __hlt(a, b); }                                                   \
  inline bool operator<=(T a, T b) { return __hle(a, b); }                                                  \
  inline bool operator>(T a, T b) { return __hgt(a, b); }                                                   \
  inline bool operator>=(T a, T b) { return __hge(a, b); }                                                  \
  inline T2 __hadd2(T2 a, T2 b) { return {__hadd(a.x, b.x), __hadd(a.y, b.y)}; }                            \
  inline T2 __hsub2(T2 a, T2 b) { return {__hsub(a.x, b.x), __hsub(a.y, b.y)}; }                            \
  inline T2 __hmul2(T2 a, T2 b) { return {__hmul(a.x, b.x), __hmul(a.y, b.y)}; }                            \
  inline T2 __hfma2(T2 a, T2 b, T2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }            \
  inline T2 __hmin2(T2 a, T2 b) { return {__hmin(a.x, b.x), __hmin(a.y, b.y)}; }                            \
  inline T2 __hmax2(T2 a, T2 b) { return {__hmax(a.x, b.x), __hmax(a.y, b.y)}; }                            \
  inline T2 __hneg2(T2 a) { return {__hneg(a.x), __hneg(a.y)}; }                                            \
  inline T2 __habs2(T2 a) { return {__habs(a.x), __habs(a.y)}; }                                            \
  inline T2 operator+(T2 a, T2 b) { return __hadd2(a, b); }                                                 \
  inline T2 operator-(T2 a, T2 b) { return __hsub2(a, b); }                                                 \
  inline T2 operator*(T2 a, T2 b) { return __hmul2(a, b); }
