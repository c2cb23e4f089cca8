/* CUDA's vector types and their make_ functions. Those of a power of two bytes are aligned to their size, as CUDA's are. */
#pragma once
#include <cstdint>

#define LATHE_VECTORS(TYPE, BASE)                                                                   \
  struct TYPE##1 {                                                                                  \
    BASE x;                                                                                         \
  };                                                                                                \
  struct alignas(2 * sizeof(BASE)) TYPE##2 {                                                        \
    BASE x, y;                                                                                      \
  };                                                                                                \
  struct TYPE##3 {                                                                                  \
    BASE x, y, z;                                                                                   \
  };                                                                                                \
  struct alignas(sizeof(BASE) >= 4 ? 16 : 4 * sizeof(BASE)) TYPE##4 {                               \
    BASE x, y, z, w;                                                                                \
  };                                                                                                \
  inline TYPE##1 make_##TYPE##1(BASE x) { return {x}; }                                             \
  inline TYPE##2 make_##TYPE##2(BASE x, BASE y) { return {x, y}; }                                  \
  inline TYPE##3 make_##TYPE##3(BASE x, BASE y, BASE z) { return {x, y, z}; }                       \
  inline TYPE##4 make_##TYPE##4(BASE x, BASE y, BASE z, BASE w) { return {x, y, z, w}; }

LATHE_VECTORS(char, signed char)
LATHE_VECTORS(uchar, unsigned char)
LATHE_VECTORS(short, short)
LATHE_VECTORS(ushort, unsigned short)
LATHE_VECTORS(int, int)
LATHE_VECTORS(uint, unsigned)
LATHE_VECTORS(float, float)
LATHE_VECTORS(longlong, long long)
LATHE_VECTORS(ulonglong, unsigned long long)
LATHE_VECTORS(double, double)
#undef LATHE_VECTORS
