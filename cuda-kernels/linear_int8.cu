/* Linear layers of 1 to 8 rows, INT8 weights and f32 activations:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   W        w[r, c] = (values[r, c] - zeros[r, g]) * scales[r, g], g = c / group_size
 *   out, x   [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   values   [rows, cols]  int8, rows w_stride elements apart
 *   scales   [rows, groups]  f32 or bf16;  zeros  the same shape int8, or null
 *   bias     [rows] f32, or null             add: onto what out holds
 *
 *   linear_int8_N           groups == 1: the sum of x (q - zero) is scaled once
 *   linear_int8_grouped_N   group_size % 16 == 0: each weight is scaled, one rounding more; a scale is read every 16 columns
 *   linear_int8_ragged      any groups, up to 8 rows of x: one warp a row of W, a scale is read for each column. Right, not
 *                           fast: no format in use has such groups
 *
 * 16 bytes a load where rows of W start at multiples of 16 bytes; any cols, stride and alignment is correct
 * one row of x is bound by memory: rows * cols bytes, each read once and past L1; 8 rows by fp32 products, 8 a weight
 * a byte becomes a float by one permutation and one subtraction that takes the zero point along: 2^23 + 128 + q is exact
 * an order of sums that the shape of W and the grid's device decide: a row's result is the same in any batch up to 8
 * blockDim.x is 256, of linear_int8_ragged 128; see common/gemv.cuh for warps_per_row and tile
 * twin: ReferenceBackend.linear     proof: LinearKernelsTest     not measured on a GPU yet
 */
#include <type_traits>

#include "common/gemv.cuh"

namespace {

constexpr float kBias = 8388608 + 128;

template <bool kGrouped>
struct Int8 : WeightRows<int8_t> {
  static constexpr int kCount = 16;
  struct Row {
    const int8_t* start;
    float bias;  // where there is one group
    int64_t index;
  };
  struct Group {
    float bias, scale;  // w = (biased byte - bias) * scale
  };
  struct None {};
  struct Chunk {
    uint4 bytes;
    [[no_unique_address]] std::conditional_t<kGrouped, Group, None> group;
  };

  Scales scales;

  __device__ __forceinline__ Int8(const int8_t* values, int64_t stride, const Scales& scales)
      : WeightRows<int8_t>(values, stride), scales(scales) {}

  __device__ __forceinline__ Row row(int64_t index) const {
    return {start(index), kBias + (kGrouped ? 0.0f : scales.zero(index, 0)), index};
  }

  __device__ __forceinline__ Chunk load(const Row& row, int column, int cols) const {
    Chunk chunk;
    chunk.bytes = load_sixteen(row.start, column, cols);
    if constexpr (kGrouped) {
      int group = smaller(column, cols - 1) / scales.group_size;
      chunk.group = {kBias + scales.zero(row.index, group), scales.scale(row.index, group)};
    }
    return chunk;
  }

  __device__ __forceinline__ void widen(float (&w)[4], const Chunk& chunk, int i, const Row& row) const {
    uint32_t flipped = word(chunk.bytes, i) ^ 0x80808080u;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if constexpr (kGrouped)
        w[j] = (biased_byte(flipped, j) - chunk.group.bias) * chunk.group.scale;
      else
        w[j] = biased_byte(flipped, j) - row.bias;
    }
  }

  __device__ __forceinline__ float scaled(float sum, int64_t row) const {
    return kGrouped ? sum : __fmul_rn(sum, scales.scale(row, 0));
  }
};

}  // namespace

#define LINEAR_INT8(NAME, GROUPED, BATCH, ROWS, UNROLL)                                                               \
  LATHE_KERNEL(NAME, kGemvThreads,                                                                                    \
               (LINEAR_TENSORS, const int8_t* values, int64_t w_stride, const void* scales, const int8_t* zeros,      \
                int scales_are_bf16, int groups, int group_size, int64_t rows, int cols,                              \
                LINEAR_FUSED_PARAMETERS)) {                                                                           \
    Int8<GROUPED> weights(values, w_stride, {scales, zeros, scales_are_bf16, groups, group_size});                    \
    gemv<Int8<GROUPED>, BATCH, ROWS, UNROLL>(LINEAR_PRODUCT, weights, LINEAR_FUSED);                                  \
  }

LINEAR_INT8(linear_int8_1, false, 1, 4, 2)
LINEAR_INT8(linear_int8_2, false, 2, 4, 2)
LINEAR_INT8(linear_int8_4, false, 4, 4, 1)
LINEAR_INT8(linear_int8_8, false, 8, 2, 2)
LINEAR_INT8(linear_int8_grouped_1, true, 1, 4, 1)
LINEAR_INT8(linear_int8_grouped_2, true, 2, 4, 1)
LINEAR_INT8(linear_int8_grouped_4, true, 4, 2, 2)
LINEAR_INT8(linear_int8_grouped_8, true, 8, 2, 1)

LATHE_KERNEL(linear_int8_ragged, 128,
             (LINEAR_TENSORS, const int8_t* values, int64_t w_stride, const void* scale_values, const int8_t* zeros,
              int scales_are_bf16, int groups, int group_size, int64_t rows, int cols)) {
  Product p = LINEAR_PRODUCT;
  Scales scales = {scale_values, zeros, scales_are_bf16, groups, group_size};
  int lane = threadIdx.x % 32;
  int64_t row = static_cast<int64_t>(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
  if (row >= rows) return;
  float acc[8] = {};
  for (int c = lane; c < cols; c += 32) {
    int group = c / group_size;
    float w = (widen(values[row * w_stride + c]) - scales.zero(row, group)) * scales.scale(row, group);
#pragma unroll
    for (int b = 0; b < 8; b++)
      if (b < batch) acc[b] = fmaf(x[b * x_stride + c], w, acc[b]);
  }
#pragma unroll
  for (int b = 0; b < 8; b++) {
    float sum = warp_sum(acc[b]);
    if (lane == b && b < batch) finish(p, row, b, sum);
  }
}
