/* Operations of a warp's lanes: votes, shuffles, matches, reductions. */
#pragma once
#include <array>
#include <bit>
#include <cstring>
#include <type_traits>

#include "lathe_emulator.h"

inline void __syncwarp(unsigned mask = ~0u) { ::lathe::emulator::sync_warp(mask); }
inline unsigned __ballot_sync(unsigned mask, int predicate) { return ::lathe::emulator::ballot(mask, predicate != 0); }
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  unsigned lane = ::lathe::emulator::lane();
  unsigned first = lane & ~static_cast<unsigned>(width - 1);
  bits = ::lathe::emulator::shuffle(mask, bits,
                                    first | (static_cast<unsigned>(source) & static_cast<unsigned>(width - 1)));
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  int lane = static_cast<int>(::lathe::emulator::lane()) & (width - 1);
  int source = lane ^ bits;
  return __shfl_sync(mask, value, source < width ? source : lane, width);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = ::lathe::emulator::lane() & static_cast<unsigned>(width - 1);
  return __shfl_sync(mask, value, static_cast<int>(lane + delta < static_cast<unsigned>(width) ? lane + delta : lane),
                     width);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32) {
  unsigned lane = ::lathe::emulator::lane() & static_cast<unsigned>(width - 1);
  return __shfl_sync(mask, value, static_cast<int>(lane >= delta ? lane - delta : lane), width);
}

namespace lathe_warp {
template <class T, class Combine>
T reduce(unsigned mask, T value, Combine combine) {
  std::array<T, 32> all;
  ::lathe::emulator::exchange(mask, &value, all.data(), sizeof(T));
  unsigned first = static_cast<unsigned>(std::countr_zero(mask));
  T result = all[first];
  for (unsigned i = first + 1; i < 32; i++)
    if (mask >> i & 1) result = combine(result, all[i]);
  return result;
}
}  // namespace lathe_warp

/** The lanes of `mask` that passed the same bits as this one. */
template <class T>
unsigned __match_any_sync(unsigned mask, T value) {
  std::array<T, 32> all;
  ::lathe::emulator::exchange(mask, &value, all.data(), sizeof(T));
  unsigned same = 0;
  for (unsigned i = 0; i < 32; i++)
    if ((mask >> i & 1) != 0 && std::memcmp(&all[i], &value, sizeof(T)) == 0) same |= 1u << i;
  return same;
}

// sm_80's integer reductions.
inline unsigned __reduce_add_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a + b; });
}
inline int __reduce_add_sync(unsigned mask, int x) {
  return static_cast<int>(__reduce_add_sync(mask, static_cast<unsigned>(x)));
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a < b ? a : b; });
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a < b ? b : a; });
}
inline int __reduce_min_sync(unsigned mask, int x) {
  return lathe_warp::reduce(mask, x, [](int a, int b) { return a < b ? a : b; });
}
inline int __reduce_max_sync(unsigned mask, int x) {
  return lathe_warp::reduce(mask, x, [](int a, int b) { return a < b ? b : a; });
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a & b; });
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a | b; });
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned x) {
  return lathe_warp::reduce(mask, x, [](unsigned a, unsigned b) { return a ^ b; });
}
