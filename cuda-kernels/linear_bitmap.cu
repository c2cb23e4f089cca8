/* Linear layers of 1 to 8 rows, unstructured sparse weights:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   out, x       [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   bits         [rows, ceil(cols / 8)]  bit c % 8 of byte c / 8: is w[r, c] stored? Bits behind cols are 0.
 *   row_offsets  [rows + 1]  where in values each row starts
 *   values       [kept]  f32, bf16, f16, or int8: w = (q - zeros[r]) * scales[r]
 *   scales       [rows]  f32 or bf16;  zeros  [rows] int8, or null
 *   bias         [rows] f32, or null             add: onto what out holds
 *
 * one warp a row. Every 1,024 columns each lane loads 32 bits, and a scan of their counts says where each word's values
 * start; then 128 columns a step, 4 a lane: x is read 16 bytes a lane side by side, values by lanes from places that
 * follow each other. Steps don't wait for one another.
 * bound by memory up to about half kept: rows * cols * (1 / 8 + sizeof(T) * kept) bytes, and by instructions beyond
 * blockDim.x is 128; any cols, stride and alignment is correct; a row's result is the same in any batch
 * twin: ReferenceBackend.linear     proof: LinearKernelsTest     not measured on a GPU yet
 */
#include "common/gemv.cuh"

namespace {

constexpr int kThreads = 128;
constexpr unsigned kAll = 0xffffffffu;

/** 32 bits of a row from byte `at` on; zeros behind its last byte. */
__device__ __forceinline__ uint32_t load_bits(const uint8_t* bits, int at, int bytes, bool aligned) {
  if (aligned && at + 4 <= bytes) return *reinterpret_cast<const uint32_t*>(bits + at);
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (at + i < bytes) word |= static_cast<uint32_t>(bits[at + i]) << 8 * i;
  return word;
}

/** 1,024 columns from `start` on; lane i has their bits 32 i to 32 i + 31 and how many are set before. */
template <class T, int kBatch, bool kWhole>
__device__ __forceinline__ void steps(float (&acc)[kBatch], const Product& p, const T* next, uint32_t mine, int before,
                                      int start, float zero) {
  int lane = threadIdx.x % 32;
#pragma unroll(!kWhole ? 1 : kBatch == 1 ? 4 : 2)
  for (int step = 0; step < 8; step++) {
    int source = 4 * step + lane / 8, shift = lane % 8 * 4;
    uint32_t of_word = __shfl_sync(kAll, mine, source);
    int at = __shfl_sync(kAll, before, source) + __popc(of_word & ((1u << shift) - 1));
    uint32_t kept = of_word >> shift;
    float w[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      bool is_kept = (kept >> i & 1) != 0;
      w[i] = is_kept ? widen(next[at]) - zero : 0.0f;
      at += is_kept;
    }
    int column = start + 128 * step + 4 * lane;
#pragma unroll
    for (int b = 0; b < kBatch; b++) {
      if (b >= p.batch) break;
      float4 four;
      if constexpr (kWhole)
        four = *reinterpret_cast<const float4*>(p.x + b * p.x_stride + column);
      else
        four = four_of_x(p, b, column, false);
      // What is not kept adds nothing, not even a NaN that 0 would make of an infinity.
      if (kept & 1) acc[b] = fmaf(four.x, w[0], acc[b]);
      if (kept & 2) acc[b] = fmaf(four.y, w[1], acc[b]);
      if (kept & 4) acc[b] = fmaf(four.z, w[2], acc[b]);
      if (kept & 8) acc[b] = fmaf(four.w, w[3], acc[b]);
    }
  }
}

template <class T, int kBatch>
__device__ __forceinline__ void bitmap_product(const Product& p, const uint8_t* bits, const int64_t* row_offsets,
                                               const T* values, const Scales& scales) {
  int lane = threadIdx.x % 32;
  int64_t row = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32;
  if (row >= p.rows) return;
  int bytes = (p.cols + 7) / 8;
  const uint8_t* row_bits = bits + row * bytes;
  const T* next = values + row_offsets[row];
  bool aligned = reinterpret_cast<uintptr_t>(row_bits) % 4 == 0, x_aligned = is_aligned16(p.x) && p.x_stride % 4 == 0;
  float zero = 0;
  if constexpr (sizeof(T) == 1) zero = scales.zero(row, 0);

  float acc[kBatch] = {};
  for (int start = 0; start < p.cols; start += 1024) {
    uint32_t mine = load_bits(row_bits, start / 8 + 4 * lane, bytes, aligned);
    int count = __popc(mine), until = count;
#pragma unroll
    for (int offset = 1; offset < 32; offset *= 2) {
      int other = __shfl_up_sync(kAll, until, offset);
      if (lane >= offset) until += other;
    }
    int before = until - count;
    // The row's end and unaligned x have a branch of their own, so that elsewhere all steps load at once.
    if (x_aligned && start + 1024 <= p.cols)
      steps<T, kBatch, true>(acc, p, next, mine, before, start, zero);
    else
      steps<T, kBatch, false>(acc, p, next, mine, before, start, zero);
    next += __shfl_sync(kAll, until, 31);
  }
#pragma unroll
  for (int b = 0; b < kBatch; b++) {
    float sum = warp_sum(acc[b]);
    if constexpr (sizeof(T) == 1) sum = __fmul_rn(sum, scales.scale(row, 0));
    if (lane == b && b < p.batch) finish(p, row, b, sum);
  }
}

}  // namespace

#define LINEAR_BITMAP(NAME, T, BATCH)                                                                              \
  LATHE_KERNEL(NAME, kThreads,                                                                                     \
               (LINEAR_TENSORS, const uint8_t* bits, const int64_t* row_offsets, const T* values,                  \
                const void* scales, const int8_t* zeros, int scales_are_bf16, int64_t rows, int cols)) {           \
    bitmap_product<T, BATCH>(LINEAR_PRODUCT, bits, row_offsets, values, {scales, zeros, scales_are_bf16, 1, cols}); \
  }

LINEAR_BITMAP(linear_bitmap_f32_1, float, 1)
LINEAR_BITMAP(linear_bitmap_f32_8, float, 8)
LINEAR_BITMAP(linear_bitmap_bf16_1, bf16, 1)
LINEAR_BITMAP(linear_bitmap_bf16_8, bf16, 8)
LINEAR_BITMAP(linear_bitmap_f16_1, f16, 1)
LINEAR_BITMAP(linear_bitmap_f16_8, f16, 8)
LINEAR_BITMAP(linear_bitmap_int8_1, int8_t, 1)
LINEAR_BITMAP(linear_bitmap_int8_8, int8_t, 8)
