/* Quantized GEMM W8A8      out[m, n] = (sum over k of a[m, k] * b[n, k]) * a_scale[m] * b_scale[n] + bias[n]
 *
 *   a        [M, K]  s8, row-major       activations, quantized by quantize.cu
 *   b        [N, K]  s8, row-major       weights as they are stored
 *   a_scale  [M], b_scale [N], bias [N] f32; bias may be null
 *   out      [M, N]  f32, rows out_stride apart; with `add` the result is added to what is there
 *   partial  [splits, M, N] s32          of the split kernels, summed by gemm_w8a8_combine
 *
 * sums are exact in int32 (|K| <= 131071), so any order of adding gives the same bits; the product is rounded as
 * float(sum), * a_scale, * b_scale, + bias, + out, each step by itself
 * K % 16 == 0 and 16-byte aligned a and b are copied by cp.async; any other K and alignment is correct, and slow
 *   gemm_w8a8_tile     128 x 128 x 64 a block, 8 warps of 64 x 32, 4 stages: bound by mma.sync. ldmatrix reads and
 *                      cp.async writes rows of 64 bytes whose 16-byte chunks are XORed: no bank conflicts
 *   gemm_w8a8_small_*  32 x 64 x 128 a block, 4 warps, 4 stages of 12 KB, 4 blocks a multiprocessor: 96 KB of weights on
 *                      their way. For M <= 64, bound by reading b once for each 32 rows. K is divided among blocks (grid.z)
 *                      so that all multiprocessors read; each part goes to `partial`. With fewer than 32 rows the others of
 *                      a tile are zeros that no memory is read for. Estimate for an H200 and 1 to 8 rows (decode): mma.sync
 *                      takes a third of the time in which b arrives, so the zeros cost little
 * grid (ceil(M / tile), ceil(N / tile), splits); not measured on a GPU yet
 * proof: GemmW8A8Test, equal to Java's integers; CudaW8A8Test, as a backend's product
 */
#include "common/ptx.cuh"

namespace {

template <int kRows, int kCols, int kDepth, int kWarpRows, int kWarpCols, int kStageCount>
struct Tile {
  static constexpr int kBlockRows = kRows, kBlockCols = kCols, kBlockDepth = kDepth, kStages = kStageCount;
  static constexpr int kWarpsOverRows = kWarpRows, kThreads = 32 * kWarpRows * kWarpCols;
  static constexpr int kRowTiles = kRows / kWarpRows / 16, kColTiles = kCols / kWarpCols / 8;
  static constexpr int kStageBytes = (kRows + kCols) * kDepth;
};
using Large = Tile<128, 128, 64, 2, 4, 4>;
using Small = Tile<32, 64, 128, 1, 4, 4>;

/** Where chunk `chunk` of a row lies: eight rows' chunks of one number are in eight different groups of banks. */
template <int kDepth>
__device__ __forceinline__ int place(int row, int chunk) {
  int mixed = kDepth == 128 ? chunk ^ (row & 7) : chunk ^ (row >> 1 & 3);
  return row * kDepth + 16 * mixed;
}

/** What 16 bytes at `from` hold of a row that has `left` bytes more. */
__device__ __forceinline__ uint4 gather(const int8_t* from, int64_t left) {
  uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; i++) {
    words[i] = 0;
#pragma unroll
    for (int j = 0; j < 4; j++)
      if (4 * i + j < left) words[i] |= static_cast<uint32_t>(static_cast<uint8_t>(from[4 * i + j])) << 8 * j;
  }
  return make_uint4(words[0], words[1], words[2], words[3]);
}

/** Starts copying rows first_row ... and columns k ... of a matrix [rows, depth]; what isn't there is zero. */
template <class T, int kTileRows>
__device__ __forceinline__ void copy_tile(unsigned char* to, const int8_t* from, int64_t first_row, int64_t rows,
                                          int64_t depth, int64_t k, int64_t k_end, bool chunked) {
  constexpr int kChunks = T::kBlockDepth / 16;
  static_assert(kTileRows * kChunks % T::kThreads == 0);
#pragma unroll
  for (int i = 0; i < kTileRows * kChunks / T::kThreads; i++) {
    int index = static_cast<int>(threadIdx.x) + i * T::kThreads;
    int row = index / kChunks, chunk = index % kChunks;
    int64_t column = k + 16 * chunk;
    bool there = first_row + row < rows && column < k_end;
    const int8_t* source = there ? from + (first_row + row) * depth + column : from;
    unsigned char* target = to + place<T::kBlockDepth>(row, chunk);
    if (chunked)
      cp_async_16(target, source, there);
    else
      *reinterpret_cast<uint4*>(target) = there ? gather(source, k_end - column) : make_uint4(0, 0, 0, 0);
  }
}

template <class T>
__device__ __forceinline__ void multiply_stage(int (&sums)[T::kRowTiles][T::kColTiles][4], const unsigned char* stage) {
  const unsigned char* a = stage;
  const unsigned char* b = stage + T::kBlockRows * T::kBlockDepth;
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int row = warp % T::kWarpsOverRows * (16 * T::kRowTiles), col = warp / T::kWarpsOverRows * (8 * T::kColTiles);
#pragma unroll
  for (int step = 0; step < T::kBlockDepth / 32; step++) {
    uint32_t left[T::kRowTiles][4], right[T::kColTiles / 2][4];
#pragma unroll
    for (int i = 0; i < T::kRowTiles; i++)
      ldmatrix_x4(left[i], a + place<T::kBlockDepth>(row + 16 * i + lane % 16, 2 * step + lane / 16));
#pragma unroll
    for (int j = 0; j < T::kColTiles / 2; j++)
      ldmatrix_x4(right[j],
                  b + place<T::kBlockDepth>(col + 16 * j + lane % 8 + lane / 16 * 8, 2 * step + lane / 8 % 2));
#pragma unroll
    for (int i = 0; i < T::kRowTiles; i++)
#pragma unroll
      for (int j = 0; j < T::kColTiles; j++)
        mma_m16n8k32_s8(sums[i][j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
  }
}

/** sums += a[block's rows, k_begin to k_end] * b[block's columns, the same]. */
template <class T>
__device__ __forceinline__ void multiply(int (&sums)[T::kRowTiles][T::kColTiles][4], unsigned char* shared,
                                         const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t depth,
                                         int64_t k_begin, int64_t k_end) {
  bool chunked = depth % 16 == 0 && reinterpret_cast<uintptr_t>(a) % 16 == 0 && reinterpret_cast<uintptr_t>(b) % 16 == 0;
  int64_t first_row = static_cast<int64_t>(blockIdx.x) * T::kBlockRows;
  int64_t first_col = static_cast<int64_t>(blockIdx.y) * T::kBlockCols;
  int steps = static_cast<int>((k_end - k_begin + T::kBlockDepth - 1) / T::kBlockDepth);
  auto copy = [&](int step) {
    if (step < steps) {
      unsigned char* stage = shared + step % T::kStages * T::kStageBytes;
      int64_t k = k_begin + static_cast<int64_t>(step) * T::kBlockDepth;
      copy_tile<T, T::kBlockRows>(stage, a, first_row, m, depth, k, k_end, chunked);
      copy_tile<T, T::kBlockCols>(stage + T::kBlockRows * T::kBlockDepth, b, first_col, n, depth, k, k_end, chunked);
    }
    cp_async_commit();  // also of nothing, so that the number of groups is the number of steps
  };
#pragma unroll
  for (int step = 0; step < T::kStages - 1; step++) copy(step);
  for (int step = 0; step < steps; step++) {
    cp_async_wait<T::kStages - 2>();
    __syncthreads();  // this stage is there for all, and the one before it is free
    copy(step + T::kStages - 1);
    multiply_stage<T>(sums, shared + step % T::kStages * T::kStageBytes);
  }
}

/** What becomes of a sum. */
struct Finish {
  float* out;
  int64_t out_stride;
  const float *a_scale, *b_scale, *bias;
  bool add;

  __device__ __forceinline__ void operator()(int64_t row, int64_t col, int sum) const {
    float value = __fmul_rn(__fmul_rn(__int2float_rn(sum), a_scale[row]), b_scale[col]);
    if (bias != nullptr) value = __fadd_rn(value, bias[col]);
    float* to = out + row * out_stride + col;
    *to = add ? __fadd_rn(*to, value) : value;
  }
};

/** Calls put(row, column, sum) for each of this thread's sums that is inside [m, n]. */
template <class T, class Put>
__device__ __forceinline__ void for_each_sum(const int (&sums)[T::kRowTiles][T::kColTiles][4], int64_t m, int64_t n,
                                             Put put) {
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t first_row = static_cast<int64_t>(blockIdx.x) * T::kBlockRows +
                      warp % T::kWarpsOverRows * (16 * T::kRowTiles) + lane / 4;
  int64_t first_col = static_cast<int64_t>(blockIdx.y) * T::kBlockCols +
                      warp / T::kWarpsOverRows * (8 * T::kColTiles) + 2 * (lane % 4);
#pragma unroll
  for (int i = 0; i < T::kRowTiles; i++)
#pragma unroll
    for (int j = 0; j < T::kColTiles; j++)
#pragma unroll
      for (int e = 0; e < 4; e++) {
        int64_t row = first_row + 16 * i + 8 * (e / 2), col = first_col + 8 * j + e % 2;
        if (row < m && col < n) put(row, col, sums[i][j][e]);
      }
}

template <class T>
__device__ __forceinline__ void multiply_and_finish(const Finish& finish, const int8_t* a, const int8_t* b, int64_t m,
                                                    int64_t n, int64_t k) {
  LATHE_DYNAMIC_SHARED(unsigned char, shared);
  int sums[T::kRowTiles][T::kColTiles][4] = {};
  multiply<T>(sums, shared, a, b, m, n, k, 0, k);
  for_each_sum<T>(sums, m, n, finish);
}

}  // namespace

LATHE_KERNEL(gemm_w8a8_tile, 256,
             (float* out, int64_t out_stride, const float* a_scale, const float* b_scale, const float* bias, int add,
              const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t k)) {
  multiply_and_finish<Large>({out, out_stride, a_scale, b_scale, bias, add != 0}, a, b, m, n, k);
}
LATHE_KERNEL(gemm_w8a8_small, 128,
             (float* out, int64_t out_stride, const float* a_scale, const float* b_scale, const float* bias, int add,
              const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t k)) {
  multiply_and_finish<Small>({out, out_stride, a_scale, b_scale, bias, add != 0}, a, b, m, n, k);
}
/** Block z sums columns z * split_k to (z + 1) * split_k, a multiple of 128. */
LATHE_KERNEL(gemm_w8a8_small_split, 128,
             (int* partial, const int8_t* a, const int8_t* b, int64_t m, int64_t n, int64_t k, int64_t split_k)) {
  LATHE_DYNAMIC_SHARED(unsigned char, shared);
  int sums[Small::kRowTiles][Small::kColTiles][4] = {};
  int64_t begin = blockIdx.z * split_k, end = begin + split_k < k ? begin + split_k : k;
  multiply<Small>(sums, shared, a, b, m, n, k, begin, end);
  int* mine = partial + blockIdx.z * m * n;
  for_each_sum<Small>(sums, m, n, [&](int64_t row, int64_t col, int sum) { mine[row * n + col] = sum; });
}

/** grid (ceil(N / 256), M) */
LATHE_KERNEL(gemm_w8a8_combine, 256,
             (float* out, int64_t out_stride, const float* a_scale, const float* b_scale, const float* bias, int add,
              const int* partial, int64_t m, int64_t n, int splits)) {
  int64_t col = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x, row = blockIdx.y;
  if (col >= n) return;
  int sum = 0;
  for (int s = 0; s < splits; s++) sum += partial[(s * m + row) * n + col];
  Finish{out, out_stride, a_scale, b_scale, bias, add != 0}(row, col, sum);
}
