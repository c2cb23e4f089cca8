/* Linear layers of 1 to 8 rows, dense weights:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   out, x   [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   values   [rows, cols]  f32, bf16 or f16, rows w_stride elements apart
 *   bias     [rows] f32, or null             add: onto what out holds
 *   norm, gate: common/gemv.cuh
 *
 * 16 bytes a load where rows of W start at multiples of 16 bytes; any cols, stride and alignment is correct
 * bound by memory: sizeof(T) * rows * cols bytes, each read once and past L1; x from L2 once a block
 * a thread has 128 bytes of W on their way, of 8 rows of x 64: a multiprocessor of 16 warps 64 or 32 KB (LinearPlan)
 * products and sums in fp32, in an order that W's shape and the device decide: a row's result is the same in any batch of 8
 * blockDim.x is 256; see common/gemv.cuh for what is fused, warps_per_row and tile
 * twin: ReferenceBackend.linear     proof: LinearKernelsTest     not measured on a GPU yet
 */
#include "common/gemv.cuh"

namespace {

template <class T>
struct Dense : WeightRows<T> {
  static constexpr int kCount = Pack<T>::kCount;
  using Row = const T*;
  using Chunk = uint4;
  using WeightRows<T>::WeightRows;

  __device__ __forceinline__ Row row(int64_t index) const { return this->start(index); }
  __device__ __forceinline__ Chunk load(Row row, int column, int cols) const {
    return this->load_sixteen(row, column, cols);
  }
  __device__ __forceinline__ void widen(float (&w)[4], const Chunk& chunk, int i, Row) const {
    widen_four<T>(w, chunk, i);
  }
  __device__ __forceinline__ float scaled(float sum, int64_t) const { return sum; }
};

}  // namespace

#define LINEAR_DENSE(NAME, T, BATCH, ROWS, UNROLL)                                                             \
  LATHE_KERNEL(NAME, kGemvThreads,                                                                             \
               (LINEAR_TENSORS, const T* values, int64_t w_stride, int64_t rows, int cols,                    \
                LINEAR_FUSED_PARAMETERS)) {                                                                    \
    gemv<Dense<T>, BATCH, ROWS, UNROLL>(LINEAR_PRODUCT, Dense<T>(values, w_stride), LINEAR_FUSED);             \
  }

LINEAR_DENSE(linear_f32_1, float, 1, 2, 4)
LINEAR_DENSE(linear_f32_2, float, 2, 2, 4)
LINEAR_DENSE(linear_f32_4, float, 4, 2, 4)
LINEAR_DENSE(linear_f32_8, float, 8, 4, 1)
LINEAR_DENSE(linear_bf16_1, bf16, 1, 2, 4)
LINEAR_DENSE(linear_bf16_2, bf16, 2, 2, 4)
LINEAR_DENSE(linear_bf16_4, bf16, 4, 2, 4)
LINEAR_DENSE(linear_bf16_8, bf16, 8, 4, 1)
LINEAR_DENSE(linear_f16_1, f16, 1, 2, 4)
LINEAR_DENSE(linear_f16_2, f16, 2, 2, 4)
LINEAR_DENSE(linear_f16_4, f16, 4, 2, 4)
LINEAR_DENSE(linear_f16_8, f16, 8, 4, 1)
