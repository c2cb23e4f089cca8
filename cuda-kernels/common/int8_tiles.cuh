/* INT8 keys and values on tensor cores: codes become f16 in registers, which is exact, and scales are applied once a key.
 *
 *   score[row, k]  = keyScale[k] * (query[row, :] . keyCodes[k, :])         in fp32, behind the first product
 *   sum[row, c]   += (p[row, k] * valueScale[k]) * valueCodes[k, c]         the bracket is rounded to f16
 *
 * So queries and probabilities have 11 bits beside codes of 8. f16 holds p * valueScale relative to the largest scale so far,
 * as score_tiles.cuh holds probabilities relative to the largest score: what is lost below f16's numbers is 2^-38 of the
 * largest value at most.
 *
 * Codes lie in shared memory as in the cache, a row a key. ldmatrix takes two bytes for an element. Straight, a lane gets of a
 * key 4 columns in a row, which become two registers of B: so the columns of 16 are in another order within the product, and
 * queries are in the same (code_query). Transposed, it gets 2 columns of each of two keys: one product takes the even columns
 * of 16, another the odd ones, and a lane ends up with 4 sums in a row (put_sums).
 */
#pragma once
#include "score_tiles.cuh"

/** Two of four codes as f16: those that `selector` names with 0 to 3 in its nibbles 0 and 2; its nibbles 1 and 3 are 4. */
__device__ __forceinline__ uint32_t widen(uint32_t flipped, unsigned selector) {
  // 0x6400 is 1024, and its last 8 bits are worth 0 to 255: a code and the 128 that flipping its sign bit has added.
  uint32_t bits = __byte_perm(flipped, 0x64646464u, selector);
  __half2 pair;
  __builtin_memcpy(&pair, &bits, sizeof(bits));
  pair = __hsub2(pair, __float2half2_rn(1152.0f));
  __builtin_memcpy(&bits, &pair, sizeof(bits));
  return bits;
}
__device__ __forceinline__ uint32_t flip_signs(uint32_t codes) { return codes ^ 0x80808080u; }

/** Columns 16 k to 16 k + 15 of the queries, in the order of multiply_codes_of_keys; zeros behind head_dim. */
__device__ __forceinline__ Fragment<1> code_query(const LaneRows& rows, int k, int head_dim) {
  Fragment<1> a;
#pragma unroll
  for (int i = 0; i < 2; i++) {
    float4 x = {0, 0, 0, 0};
    if (rows.queries[i] != nullptr && 16 * k < head_dim)
      x = *reinterpret_cast<const float4*>(rows.queries[i] + 16 * k + 4 * (threadIdx.x % 4));
    a.set<f16>(i, x.x * rows.power[i], x.y * rows.power[i]);
    a.set<f16>(2 + i, x.z * rows.power[i], x.w * rows.power[i]);
  }
  return a;
}

/** Scores of two blocks of 8 keys against 32 columns of the queries; codes [16, stride] in shared memory. */
__device__ __forceinline__ void multiply_codes_of_keys(float (&first)[4], float (&second)[4], const Fragment<1>& low,
                                                       const Fragment<1>& high, const int8_t* codes, int stride,
                                                       int column) {
  int lane = threadIdx.x % 32;
  uint32_t b[4];
  ldmatrix_x4(b, codes + (lane / 16 * 8 + lane % 8) * stride + column + lane / 8 % 2 * 16);
#pragma unroll
  for (int i = 0; i < 4; i++) {
    uint32_t flipped = flip_signs(b[i]);
    (i % 2 == 0 ? low : high)
        .multiply<f16>(i < 2 ? first : second, widen(flipped, 0x4140u), widen(flipped, 0x4342u));
  }
}

/** Adds probabilities of 16 keys times 32 columns of their values; codes [16, stride] in shared memory. */
__device__ __forceinline__ void multiply_codes_of_values(float (*sums)[4], const Fragment<1>& probabilities,
                                                         const int8_t* codes, int stride, int column) {
  int lane = threadIdx.x % 32;
  uint32_t b[4];
  ldmatrix_x4_trans(b, codes + (lane / 8 % 2 * 8 + lane % 8) * stride + column + lane / 16 * 16);
#pragma unroll
  for (int i = 0; i < 4; i++) b[i] = flip_signs(b[i]);
#pragma unroll
  for (int i = 0; i < 2; i++) {
    probabilities.multiply<f16>(sums[2 * i], widen(b[2 * i], 0x4240u), widen(b[2 * i + 1], 0x4240u));
    probabilities.multiply<f16>(sums[2 * i + 1], widen(b[2 * i], 0x4341u), widen(b[2 * i + 1], 0x4341u));
  }
}

/** Writes a lane's sums of its row i, as multiply_codes_of_values leaves them, times `unit`. */
template <int kDims>
__device__ __forceinline__ void put_sums(float* to, const float (&sums)[kDims / 8][4], int i, float unit) {
#pragma unroll
  for (int n = 0; n < kDims / 8; n += 2) {
    float4 four = {sums[n][2 * i] * unit, sums[n + 1][2 * i] * unit, sums[n][2 * i + 1] * unit,
                   sums[n + 1][2 * i + 1] * unit};
    *reinterpret_cast<float4*>(to + 8 * n + 4 * (threadIdx.x % 4)) = four;
  }
}

/** What a warp's sums are in units of: a power of two, the largest scale of its values so far without its fraction. */
struct ValueUnit {
  unsigned exponent = 1;  // biased; of a scale at most 248

  __device__ __forceinline__ float value() const { return __uint_as_float(exponent << 23); }
  __device__ __forceinline__ float inverse() const { return __uint_as_float((254 - exponent) << 23); }

  /**
   * For scales of which a lane has seen the `largest`, the four of a row together all: what turns earlier sums into those of
   * the new unit. Scales that are NaN don't count.
   */
  __device__ __forceinline__ float raise(float largest) {
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
    unsigned wanted = __float_as_uint(largest) >> 23;
    if (wanted <= exponent) return 1.0f;
    float before = value();
    exponent = wanted;
    return before * inverse();
  }
};

/** A key's two scales, of the columns of C that a lane has of one block of 8 keys. */
struct PairScales {
  float2 keys, values;

  __device__ __forceinline__ float largest_value() const { return fmaxf(fmaxf(0.0f, values.x), values.y); }
};

/** Scores of codes become scores. */
__device__ __forceinline__ void scale_scores(float (&scores)[4], const PairScales& scales) {
#pragma unroll
  for (int i = 0; i < 2; i++) {
    scores[2 * i] *= scales.keys.x;
    scores[2 * i + 1] *= scales.keys.y;
  }
}

/** Probabilities times their value's scale, in `unit`. A row that doesn't see a key takes nothing of it, not its NaN either. */
__device__ __forceinline__ void weigh_block(float (&probabilities)[4], const PairScales& scales, const ValueUnit& unit,
                                            bool all_seen) {
  float of_key[2] = {scales.values.x * unit.inverse(), scales.values.y * unit.inverse()};
#pragma unroll
  for (int i = 0; i < 4; i++)
    probabilities[i] = all_seen || probabilities[i] != 0 ? probabilities[i] * of_key[i % 2] : 0.0f;
}
