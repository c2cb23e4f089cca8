/* Prefill on tensor cores: what a warp does with its 16 rows of a tile of 64, whatever the keys' type.
 *
 * Keys and values of a step lie in shared memory as T, rows padded by 16 bytes so that ldmatrix has no bank conflicts, values
 * behind keys. Queries are in `kParts` parts (score_tiles.cuh), in registers where they leave room for sums.
 */
#pragma once
#include "score_tiles.cuh"

constexpr int kPrefillWarps = 4;
constexpr int kPrefillRows = 16 * kPrefillWarps;

/** Larger ones wait in shared memory, and fewer keys come at a time. */
template <int kParts, int kDims>
constexpr bool kQueriesInRegisters = kDims * kParts <= 128;
template <int kParts, int kDims>
constexpr int kKeysAtATime = kDims * kParts <= 128 ? 64 : kDims * kParts <= 256 ? 32 : 16;

/** Keys and values that are what they are: nothing to multiply scores and probabilities by. */
struct Unscaled {
  template <int kBlocks>
  __device__ __forceinline__ void scale(float (&)[kBlocks][4]) const {}
  template <int kBlocks>
  __device__ __forceinline__ void weigh(float (&)[kBlocks][4], float (&)[2], bool) const {}
};

/**
 * A warp's rows against a step's keys and values. `scales`: scale(scores) comes before the softmax, and behind it
 * weigh(probabilities, factor, all_seen).
 */
template <class T, int kParts, int kDims, int kKeys, class Scales>
__device__ __forceinline__ void step(LaneRows& rows, float (&sums)[kDims / 8][4], const Fragment<kParts>* queries,
                                     const T* shared_queries, const T* keys, int key, bool all_seen, Scales&& scales) {
  constexpr int kStride = kDims + 8;
  int lane = threadIdx.x % 32;
  float scores[kKeys / 8][4] = {};
#pragma unroll(kQueriesInRegisters<kParts, kDims> ? kDims / 16 : 2)
  for (int k = 0; k < kDims / 16; k++) {
    Fragment<kParts> query;
    if constexpr (kQueriesInRegisters<kParts, kDims>) {
      query = queries[k];
    } else {
#pragma unroll
      for (int p = 0; p < kParts; p++)
        ldmatrix_x4(query.registers[p], shared_queries + (p * 16 + lane % 16) * kStride + 16 * k + lane / 16 * 8);
    }
#pragma unroll
    for (int n = 0; n < kKeys / 8; n += 2)
      multiply_keys(scores[n], scores[n + 1], query, keys + 8 * n * kStride, kStride, 16 * k);
  }
  scales.scale(scores);
  float factor[2];
  rows.probabilities<T>(scores, factor, key, all_seen);
  scales.weigh(scores, factor, all_seen);
#pragma unroll
  for (int n = 0; n < kDims / 8; n++)
#pragma unroll
    for (int i = 0; i < 4; i++) sums[n][i] *= factor[i / 2];
  const T* values = keys + kKeys * kStride;
#pragma unroll
  for (int k = 0; k < kKeys / 16; k++) {
    Fragment<kParts> probabilities;
#pragma unroll
    for (int i = 0; i < 4; i++)
      probabilities.template set<T>(i, scores[2 * k + i / 2][i % 2 * 2], scores[2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int n = 0; n < kDims / 8; n += 2)
      multiply_values(sums[n], sums[n + 1], probabilities, values + 16 * k * kStride, kStride, 8 * n);
  }
}
