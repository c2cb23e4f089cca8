/* Attention on tensor cores: what a warp does with its 16 rows, of mma.sync m16n8k16.
 *
 * Fragments (PTX ISA, matrix fragments for mma.m16n8k16): lane = 4 g + t holds of A and of C rows g and g + 8, of C columns
 * 8 n + 2 t and the next of each block n of 8 keys. So C, rounded to the type of the values, is A of the next product.
 *
 * Keys and values go into the products as they are. Queries and probabilities are fp32: rounded to their type they would
 * lose all but 8 or 11 bits, so they may be given in two parts, x = high + low, each a product of its own: 16 or 22 bits.
 * Queries are scaled by a power of two first, so that the row's largest is between 1 and 2 and f16 holds it.
 */
#pragma once
#include "paged.cuh"
#include "tile_ptx.cuh"

constexpr float kLog2e = 1.4426950408889634f;

/** Probabilities are multiplied by 2^this, so that small ones stay normal numbers of their type. */
template <class T>
constexpr float kProbabilityExponent = 0;
template <>
constexpr float kProbabilityExponent<f16> = 14;

template <class T>
struct alignas(4) Pair {
  T first, second;
};

template <class T>
__device__ __forceinline__ uint32_t pack(float first, float second) {
  return __builtin_bit_cast(uint32_t, Pair<T>{to_kv<T>(first), to_kv<T>(second)});
}

/** Two numbers as T, in parts[0], and what they lose by it, in parts[1]. */
template <class T, int kParts>
__device__ __forceinline__ void split(float first, float second, uint32_t (&parts)[kParts]) {
  Pair<T> high = {to_kv<T>(first), to_kv<T>(second)};
  parts[0] = __builtin_bit_cast(uint32_t, high);
  if constexpr (kParts == 2) parts[1] = pack<T>(first - kv_to_float(high.first), second - kv_to_float(high.second));
}

/** A of m16n8k16, in parts. */
template <int kParts>
struct Fragment {
  uint32_t registers[kParts][4];

  template <class T>
  __device__ __forceinline__ void set(int i, float first, float second) {
    uint32_t parts[kParts];
    split<T>(first, second, parts);
#pragma unroll
    for (int p = 0; p < kParts; p++) registers[p][i] = parts[p];
  }

  /** c += A B, smallest parts first. */
  template <class T>
  __device__ __forceinline__ void multiply(float (&c)[4], uint32_t b0, uint32_t b1) const {
#pragma unroll
    for (int p = kParts - 1; p >= 0; p--) mma_m16n8k16<T>(c, registers[p], b0, b1);
  }
};

/** The two rows of a tile that a lane holds parts of. */
struct LaneRows {
  const float* queries[2];  // null: the tile has no such row
  int first[2], visible[2];
  float power[2];  // queries are multiplied by it
  float scale[2];  // scores by this: in units of log2, or before a cap
  float largest[2], total[2];
  float soft_cap;  // in units of log2; 0: none

  __device__ __forceinline__ LaneRows(const float* qkv, const AttentionShape& shape, const Tile& tile, int kv_head,
                                      int first_of_warp)
      : soft_cap(shape.soft_cap * kLog2e) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      int row = first_of_warp + static_cast<int>(threadIdx.x) % 32 / 4 + 8 * i;
      bool there = row < tile.rows;
      queries[i] = there ? query_row(qkv, shape, tile, kv_head, row) : nullptr;
      visible[i] = there ? tile.visible(row) : 0;
      first[i] = there ? tile.first_key(row, shape.window) : 0;
      largest[i] = -INFINITY;
      total[i] = 0;
      power[i] = 1;
    }
    int t = threadIdx.x % 4;
    float most[2] = {0, 0};
    for (int c = 2 * t; c < shape.head_dim; c += 8) {
#pragma unroll
      for (int i = 0; i < 2; i++) {
        if (queries[i] == nullptr) continue;
        float2 x = *reinterpret_cast<const float2*>(queries[i] + c);
        most[i] = fmaxf(most[i], fmaxf(fabsf(x.x), fabsf(x.y)));
      }
    }
#pragma unroll
    for (int i = 0; i < 2; i++) {
      most[i] = fmaxf(most[i], __shfl_xor_sync(0xffffffffu, most[i], 1));
      most[i] = fmaxf(most[i], __shfl_xor_sync(0xffffffffu, most[i], 2));
      // 2^-e where most is from 2^e to 2^(e + 1); a row of zeros, or beyond all numbers, stays what it is.
      unsigned exponent = smaller(larger(static_cast<int>(__float_as_uint(most[i]) >> 23), 1), 253);
      power[i] = __uint_as_float((254 - exponent) << 23);
      float back = __uint_as_float(exponent << 23);
      scale[i] = back * shape.scale * (shape.soft_cap > 0 ? 1 / shape.soft_cap : kLog2e);
    }
  }

  /** Columns 16 k to 16 k + 15 of the queries; zeros behind head_dim. */
  template <class T, int kParts>
  __device__ __forceinline__ Fragment<kParts> query(int k, int head_dim) const {
    Fragment<kParts> a;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        float2 x = {0, 0};
        if (queries[i] != nullptr && 16 * k < head_dim)
          x = *reinterpret_cast<const float2*>(queries[i] + 16 * k + 8 * half + 2 * (threadIdx.x % 4));
        a.template set<T>(2 * half + i, x.x * power[i], x.y * power[i]);
      }
    return a;
  }

  /**
   * Turns scores of keys from `key` on into probabilities, relative to the largest so far; `factor` is what that turns
   * earlier sums into. Where `all_seen`, every row sees all of these keys.
   */
  template <class T, int kBlocks>
  __device__ __forceinline__ void probabilities(float (&scores)[kBlocks][4], float (&factor)[2], int key, bool all_seen) {
    int column = key + 2 * static_cast<int>(threadIdx.x % 4);
#pragma unroll
    for (int i = 0; i < 2; i++) {
      float most = largest[i];
#pragma unroll
      for (int n = 0; n < kBlocks; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
          float& score = scores[n][2 * i + j];
          score *= scale[i];
          if (soft_cap > 0) score = soft_cap * tanhf(score);
          int k = column + 8 * n + j;
          if (!all_seen && (k < first[i] || k >= visible[i])) score = -INFINITY;
          most = fmaxf(most, score);
        }
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      bool none = most == -INFINITY;  // seen yet: no -inf - -inf
      float base = none ? 0.0f : most - kProbabilityExponent<T>;
      factor[i] = none ? 1.0f : exp2f(largest[i] - most);
      largest[i] = most;
      total[i] *= factor[i];
#pragma unroll
      for (int n = 0; n < kBlocks; n++)
#pragma unroll
        for (int j = 0; j < 2; j++) {
          float& score = scores[n][2 * i + j];
          score = exp2f(score - base);
          total[i] += score;
        }
    }
  }

  /** Each row's total, in all lanes that hold a part of the row. */
  __device__ __forceinline__ void add_up_totals() {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      total[i] += __shfl_xor_sync(0xffffffffu, total[i], 1);
      total[i] += __shfl_xor_sync(0xffffffffu, total[i], 2);
    }
  }
};

/** Scores of two blocks of 8 keys against 16 columns of the queries; keys [16, stride] in shared memory. */
template <class T, int kParts>
__device__ __forceinline__ void multiply_keys(float (&first)[4], float (&second)[4], const Fragment<kParts>& query,
                                              const T* keys, int stride, int column) {
  int lane = threadIdx.x % 32;
  uint32_t b[4];
  ldmatrix_x4(b, keys + (lane / 16 * 8 + lane % 8) * stride + column + lane / 8 % 2 * 8);
  query.template multiply<T>(first, b[0], b[1]);
  query.template multiply<T>(second, b[2], b[3]);
}

/** Adds probabilities of 16 keys times two blocks of 8 columns of their values [16, stride] in shared memory. */
template <class T, int kParts>
__device__ __forceinline__ void multiply_values(float (&first)[4], float (&second)[4],
                                                const Fragment<kParts>& probabilities, const T* values, int stride,
                                                int column) {
  int lane = threadIdx.x % 32;
  uint32_t b[4];
  ldmatrix_x4_trans(b, values + (lane / 8 % 2 * 8 + lane % 8) * stride + column + lane / 16 * 8);
  probabilities.template multiply<T>(first, b[0], b[1]);
  probabilities.template multiply<T>(second, b[2], b[3]);
}
