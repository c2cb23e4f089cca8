/* RMSNorm's factor of a row, rsqrt(mean(x^2) + eps), for all that normalise: with the same threads, the same bits. */
#pragma once
#include "numeric.cuh"
#include "reduce.cuh"

/** This thread's part of a row's sum of squares: packs, or single values, `first`, `first + stride`, ... */
template <bool kPacked, class T>
__device__ __forceinline__ float squares(const T* x, int cols, int first, int stride) {
  float sum = 0;
  if constexpr (kPacked) {
    const Pack<T>* packs = reinterpret_cast<const Pack<T>*>(x);
    for (int i = first; i < cols / Pack<T>::kCount; i += stride) {
      Pack<T> pack = packs[i];
#pragma unroll
      for (int j = 0; j < Pack<T>::kCount; j++) {
        float value = to_float(pack.values[j]);
        sum += value * value;
      }
    }
  } else {
    for (int c = first; c < cols; c += stride) {
      float value = to_float(x[c]);
      sum += value * value;
    }
  }
  return sum;
}

__device__ __forceinline__ float rms_factor(float sum, int cols, float eps) {
  return rsqrtf(sum / static_cast<float>(cols) + eps);
}
