/* Weights [rows, cols] in the formats in which they are stored.
 *
 *   dense    F32, BF16, F16
 *   INT8     w[r, c] = (values[r, c] - zeros[r, g]) * scales[r, g], g = c / group_size; one group a row: "per channel"
 *   bitmap   bit c % 8 of byte c / 8 of a row says whether a weight is stored; row r's values start at row_offsets[r]
 */
#pragma once
#include "kv_types.cuh"
#include "tile_ptx.cuh"

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widen(f16 x) { return __half2float(x); }
__device__ __forceinline__ float widen(int8_t x) { return static_cast<float>(x); }

/** Scales [rows, groups] in F32 or BF16; zero points of the same shape, or null: none. */
struct Scales {
  const void* values;
  const int8_t* zeros;
  int is_bf16, groups, group_size;

  __device__ __forceinline__ float scale(int64_t row, int group) const {
    int64_t at = row * groups + group;
    return is_bf16 ? __bfloat162float(static_cast<const bf16*>(values)[at]) : static_cast<const float*>(values)[at];
  }
  __device__ __forceinline__ uint32_t zero_byte(int64_t row, int group) const {
    return zeros == nullptr ? 0u : static_cast<uint8_t>(zeros[row * groups + group]);
  }
  __device__ __forceinline__ float zero(int64_t row, int group) const {
    return zeros == nullptr ? 0.0f : static_cast<float>(zeros[row * groups + group]);
  }
};

/** Where rows of weights lie; `aligned`: each at a multiple of 16 bytes. */
template <class T>
struct WeightRows {
  const T* values;
  int64_t stride;
  bool aligned;

  __device__ __forceinline__ WeightRows(const T* values, int64_t stride)
      : values(values),
        stride(stride),
        aligned(is_aligned16(values) && stride * static_cast<int64_t>(sizeof(T)) % 16 == 0) {}

  __device__ __forceinline__ const T* start(int64_t row) const { return values + row * stride; }

  /** 16 bytes of the row that starts there, from a column on; zeros behind `cols`. */
  __device__ __forceinline__ uint4 load_sixteen(const T* row, int column, int cols) const {
    const T* from = row + column;
    if (aligned && column + Pack<T>::kCount <= cols) return load_once_16(from);
    Pack<T> pack = {};
#pragma unroll
    for (int i = 0; i < Pack<T>::kCount; i++)
      if (column + i < cols) pack.values[i] = from[i];
    return __builtin_bit_cast(uint4, pack);
  }
};

__device__ __forceinline__ uint32_t word(const uint4& loaded, int i) {
  return i == 0 ? loaded.x : i == 1 ? loaded.y : i == 2 ? loaded.z : loaded.w;
}

/** Values 4 i to 4 i + 3 of 16 bytes. */
template <class T>
__device__ __forceinline__ void widen_four(float (&w)[4], const uint4& loaded, int i) {
#pragma unroll
  for (int j = 0; j < 4; j++) {
    if constexpr (sizeof(T) == 4)
      w[j] = __uint_as_float(word(loaded, j));
    else
      w[j] = widen(__builtin_bit_cast(T, static_cast<uint16_t>(word(loaded, 2 * i + j / 2) >> 16 * (j % 2))));
  }
}
