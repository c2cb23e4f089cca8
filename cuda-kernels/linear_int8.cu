/* Linear layers of 1 to 8 rows, INT8 weights and f32 activations:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   W        w[r, c] = (values[r, c] - zeros[r, g]) * scales[r, g], g = c / group_size
 *   out, x   [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   values   [rows, cols]  int8, rows w_stride elements apart
 *   scales   [rows, groups]  f32 or bf16;  zeros  the same shape int8, or null
 *   bias     [rows] f32, or null             add: onto what out holds
 *
 *   linear_int8_N           groups == 1: the sum of x (q - zero) is scaled once
 *   linear_int8_grouped_N   each weight is scaled, one rounding more; a group's scale is looked up once every 16 columns
 *                           where group_size is a multiple of 16, and else for each column
 *
 * 16 bytes a load where rows of W start at multiples of 16 bytes; any cols, stride and alignment is correct
 * bound by memory: rows * cols bytes, each read once and past L1; x from L2 once a block
 * a byte becomes a float by one permutation and one subtraction that takes the zero point along: 2^23 + 128 + q is exact
 * an order of sums that the shape of W decides: a row's result is the same in any batch
 * blockDim.x is 256; see common/gemv.cuh for warps_per_row and tile
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
  bool ragged;  // groups end within chunks

  __device__ __forceinline__ Int8(const int8_t* values, int64_t stride, const Scales& scales)
      : WeightRows<int8_t>(values, stride), scales(scales), ragged(kGrouped && scales.group_size % kCount != 0) {}

  __device__ __forceinline__ Row row(int64_t index) const {
    return {start(index), kBias + (kGrouped ? 0.0f : scales.zero(index, 0)), index};
  }

  __device__ __forceinline__ Group group_of(const Row& row, int column, int cols) const {
    int group = (column < cols ? column : cols - 1) / scales.group_size;
    return {kBias + scales.zero(row.index, group), scales.scale(row.index, group)};
  }

  __device__ __forceinline__ Chunk load(const Row& row, int column, int cols) const {
    Chunk chunk;
    chunk.bytes = load_sixteen(row.start, column, cols);
    if constexpr (kGrouped) chunk.group = group_of(row, column, cols);
    return chunk;
  }

  __device__ __forceinline__ void widen(float (&w)[4], const Chunk& chunk, int i, const Row& row, int column,
                                        int cols) const {
    uint32_t flipped = word(chunk.bytes, i) ^ 0x80808080u;
#pragma unroll
    for (int j = 0; j < 4; j++) {
      if constexpr (kGrouped) {
        Group group = ragged ? group_of(row, column + 4 * i + j, cols) : chunk.group;
        w[j] = (biased_byte(flipped, j) - group.bias) * group.scale;
      } else {
        w[j] = biased_byte(flipped, j) - row.bias;
      }
    }
  }

  __device__ __forceinline__ float scaled(float sum, int64_t row) const {
    return kGrouped ? sum : sum * scales.scale(row, 0);
  }
};

}  // namespace

#define LINEAR_INT8(NAME, GROUPED, BATCH, ROWS, UNROLL)                                                               \
  LATHE_KERNEL(NAME, kGemvThreads,                                                                                    \
               (LINEAR_TENSORS, const int8_t* values, int64_t w_stride, const void* scales, const int8_t* zeros,      \
                int scales_are_bf16, int groups, int group_size, int64_t rows, int cols, int warps_per_row,           \
                int tile)) {                                                                                          \
    Int8<GROUPED> weights(values, w_stride, {scales, zeros, scales_are_bf16, groups, group_size});                    \
    gemv<Int8<GROUPED>, BATCH, ROWS, UNROLL>(LINEAR_PRODUCT, weights, warps_per_row, tile);                           \
  }

LINEAR_INT8(linear_int8_1, false, 1, 4, 2)
LINEAR_INT8(linear_int8_2, false, 2, 4, 2)
LINEAR_INT8(linear_int8_4, false, 4, 4, 1)
LINEAR_INT8(linear_int8_8, false, 8, 2, 2)
LINEAR_INT8(linear_int8_grouped_1, true, 1, 2, 2)
LINEAR_INT8(linear_int8_grouped_2, true, 2, 2, 2)
LINEAR_INT8(linear_int8_grouped_4, true, 4, 2, 1)
LINEAR_INT8(linear_int8_grouped_8, true, 8, 2, 1)
