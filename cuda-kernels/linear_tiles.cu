/* Linear layers of 9 rows and more on tensor cores:   out[t, :] (+)= x[t, :] W^T + bias
 *
 *   out, x   [batch, rows] and [batch, cols]  f32, rows out_stride and x_stride elements apart
 *   values   [rows, cols]  bf16, f16 or int8, rows w_stride elements apart
 *   scales   [rows, groups]  f32 or bf16, of int8;  zeros  the same shape int8, or null
 *   bias     [rows] f32, or null             add: onto what out holds
 *
 *   linear_tiles_{bf16,f16,int8}
 *   linear_tiles_int8_grouped       groups > 1, group_size % 64 == 0
 *   linear_tiles_combine            what several blocks have left of the same outputs, together
 *
 *   partial  [splits, batch, rows]  f32, of parts of the columns; null: blocks write out themselves
 *
 * Products of bf16, sums in fp32. x goes in as two bf16, x = high + low: 17 bits of it. bf16 is multiplied as it is, and
 * so is q - zero of int8, which bf16 holds exactly; f16 is two bf16 as well, without the product of both low parts. The
 * high part is always finite, so that an infinity lies in the low one and doesn't become inf - inf.
 *
 * A block computes 64 rows of W by up to 32 rows of x: 8 warps, 2 by rows of W, 4 by columns. mma.sync m16n8k16 with W as
 * A and x^T as B. In which order columns meet is free as long as both sides agree, so each lane takes 16 bytes of a row of
 * W that lie together, and of x the same columns: W needs no ldmatrix and no other lane. cp.async brings both, x shared by
 * the block and W for each lane by itself, kStages - 1 stages ahead: 32 KB of W a block.
 * Blocks with the same rows of W follow each other, so that they find them in L2. Where there are fewer blocks than the
 * device runs at once, grid.y blocks divide the columns, as many stages each as can be; linear_tiles_combine adds their
 * sums up in the order of the parts. So a result is the same bits whenever which block ran.
 *
 * 16 bytes a copy where rows start at multiples of 16 bytes; any cols, stride and alignment is correct
 * bound by memory up to 32 rows: sizeof(T) * rows * cols bytes from memory, 4 * batch * cols * rows / 64 from L2
 * blockDim.x is 256; x_rows 16 or 32 is how many rows of x there is shared memory for; gridDim.y is at most the number of
 * stages
 * twin: ReferenceBackend.linear     proof: LinearKernelsTest     not measured on a GPU yet
 */
#include "common/gemv.cuh"

namespace {

constexpr int kTileRows = 64, kGroupsK = 4, kStages = 3, kMostTokens = 32;


/** Four columns of each of two rows as A of m16n8k16, in one or two parts. */
template <class T>
struct Fragment16 {
  static constexpr int kParts = __is_same(T, f16) ? 2 : 1;
  uint32_t registers[kParts][4];

  __device__ __forceinline__ void set(int half, const uint4& loaded, int step, float bias) {
    if constexpr (__is_same(T, bf16)) {
      registers[0][half] = word(loaded, 2 * step);
      registers[0][half + 2] = word(loaded, 2 * step + 1);
    } else if constexpr (__is_same(T, f16)) {
      float w[4];
      widen_four<f16>(w, loaded, step);
#pragma unroll
      for (int i = 0; i < 2; i++) {
        uint32_t high = pack_bf16_finite(w[2 * i], w[2 * i + 1]);
        registers[0][half + 2 * i] = high;
        registers[1][half + 2 * i] =
            pack_bf16(w[2 * i] - __uint_as_float(high << 16), w[2 * i + 1] - __uint_as_float(high & 0xffff0000u));
      }
    } else {
      uint32_t flipped = word(loaded, step) ^ 0x80808080u;
#pragma unroll
      for (int i = 0; i < 2; i++)
        registers[0][half + 2 * i] =
            pack_bf16(biased_byte(flipped, 2 * i) - bias, biased_byte(flipped, 2 * i + 1) - bias);
    }
  }
};

constexpr float kByteBias = 8388608 + 128;

template <class T, bool kGrouped>
__device__ __forceinline__ void tiles(const Product& p, const WeightRows<T>& weights, const Scales& scales, int x_rows,
                                      float* partial) {
  constexpr int kCount = Pack<T>::kCount, kSteps = kCount / 4;       // a lane's columns a stage, and products of them
  constexpr int kGroupColumns = 4 * kCount, kStageColumns = kGroupsK * kGroupColumns;
  constexpr bool kInt8 = sizeof(T) == 1;
  constexpr int kBlocksN = kMostTokens / 8;
  LATHE_DYNAMIC_SHARED(float4, memory);
  int thread = threadIdx.x, lane = thread % 32, g = lane / 4, t = lane % 4;
  int group_m = thread / 32 % 2, group_k = thread / 64;
  int stage_float4s = x_rows * (kStageColumns / 4) + 4 * kGemvThreads;

  int token_tiles = (p.batch + x_rows - 1) / x_rows;
  int first_token = static_cast<int>(blockIdx.x % static_cast<unsigned>(token_tiles)) * x_rows;
  int tokens = smaller(x_rows, p.batch - first_token);
  int64_t first_row = static_cast<int64_t>(blockIdx.x / static_cast<unsigned>(token_tiles)) * kTileRows;

  int rows[4];  // from first_row on; what lies behind the last is computed as if it were the last, and not written
  const T* starts[4];
  float bias[4], scale[4];
  uint32_t next_zeros = 0;  // a byte each
#pragma unroll
  for (int i = 0; i < 4; i++) {
    rows[i] = 32 * group_m + 8 * i + g;
    if (first_row + rows[i] >= p.rows) rows[i] = static_cast<int>(p.rows - 1 - first_row);
    starts[i] = weights.start(first_row + rows[i]);
    bias[i] = kByteBias + (kInt8 && !kGrouped ? scales.zero(first_row + rows[i], 0) : 0.0f);
    scale[i] = 1;
  }
  bool x_aligned = is_aligned16(p.x) && p.x_stride % 4 == 0;
  int stages = (p.cols + kStageColumns - 1) / kStageColumns;
  int splits = static_cast<int>(gridDim.y), split = static_cast<int>(blockIdx.y);
  int begin = part_begin(stages, splits, split), end = part_begin(stages, splits, split + 1);

  auto x_of = [&](int stage) { return memory + stage % kStages * stage_float4s; };
  auto start = [&](int stage) {
    int first = stage * kStageColumns;
    if (stage < end) {
      float4* to = x_of(stage);
      for (int i = thread; i < x_rows * (kStageColumns / 4); i += kGemvThreads) {
        int n = i / (kStageColumns / 4), q = i % (kStageColumns / 4), column = first + 4 * q;
        int step = q / (4 * kSteps) * kSteps + q % kSteps, of_t = q / kSteps % 4;
        float4* place = &to[(step * x_rows + n) * 4 + of_t];
        bool there = n < tokens && column < p.cols;
        if (there && (!x_aligned || column + 4 > p.cols))
          *place = four_of_x(p, first_token + n, column, false);
        else
          cp_async_16(place, there ? p.x + (first_token + n) * p.x_stride + column : p.x, there);
      }
      float4* own = to + x_rows * (kStageColumns / 4) + thread;
      int column = first + group_k * kGroupColumns + t * kCount;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        bool there = column < p.cols;
        if (there && (!weights.aligned || column + kCount > p.cols))
          own[i * kGemvThreads] = __builtin_bit_cast(float4, weights.load_sixteen(starts[i], column, p.cols));
        else
          cp_async_16(&own[i * kGemvThreads], there ? starts[i] + column : starts[i], there);
      }
    }
    cp_async_commit();
  };
  auto group_of = [&](int stage) {
    return smaller(stage * kStageColumns + group_k * kGroupColumns, p.cols - 1) / scales.group_size;
  };
  // Zero points are needed as a stage begins, and so looked up one ahead; scales when it ends.
  auto look_up = [&](int stage) {
    int group = group_of(stage);
    next_zeros = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) next_zeros |= scales.zero_byte(first_row + rows[i], group) << 8 * i;
  };

#pragma unroll
  for (int stage = 0; stage < kStages - 1; stage++) start(begin + stage);
  if constexpr (kGrouped) look_up(begin);

  float acc[2][kBlocksN][4] = {};
  for (int stage = begin; stage < end; stage++) {
    cp_async_wait<kStages - 2>();
    __syncthreads();
    start(stage + kStages - 1);
    if constexpr (kGrouped) {
      int group = group_of(stage);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        bias[i] = kByteBias + static_cast<float>(static_cast<int8_t>(next_zeros >> 8 * i));
        scale[i] = scales.scale(first_row + rows[i], group);
      }
      if (stage + 1 < end) look_up(stage + 1);
    }
    const float4* x = x_of(stage);
    const float4* own = x + x_rows * (kStageColumns / 4) + thread;
    uint4 loaded[4];
#pragma unroll
    for (int i = 0; i < 4; i++) loaded[i] = __builtin_bit_cast(uint4, own[i * kGemvThreads]);

    float of_stage[2][kBlocksN][4];
    if constexpr (kGrouped) {
#pragma unroll
      for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < kBlocksN; n++)
#pragma unroll
          for (int i = 0; i < 4; i++) of_stage[m][n][i] = 0;
    }
    auto& sums = *[&] {
      if constexpr (kGrouped)
        return &of_stage;
      else
        return &acc;
    }();
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      Fragment16<T> a[2];
#pragma unroll
      for (int i = 0; i < 4; i++) a[i / 2].set(i % 2, loaded[i], step, bias[i]);
#pragma unroll
      for (int n = 0; n < kBlocksN; n++) {
        if (8 * n >= tokens) break;
        float4 four = x[((group_k * kSteps + step) * x_rows + 8 * n + g) * 4 + t];
        uint32_t high[2] = {pack_bf16_finite(four.x, four.y), pack_bf16_finite(four.z, four.w)};
        uint32_t low[2] = {
            pack_bf16(four.x - __uint_as_float(high[0] << 16), four.y - __uint_as_float(high[0] & 0xffff0000u)),
            pack_bf16(four.z - __uint_as_float(high[1] << 16), four.w - __uint_as_float(high[1] & 0xffff0000u))};
#pragma unroll
        for (int m = 0; m < 2; m++) {
          if constexpr (Fragment16<T>::kParts == 2)
            mma_m16n8k16<bf16>(sums[m][n], a[m].registers[1], high[0], high[1]);
          mma_m16n8k16<bf16>(sums[m][n], a[m].registers[0], low[0], low[1]);
          mma_m16n8k16<bf16>(sums[m][n], a[m].registers[0], high[0], high[1]);
        }
      }
    }
    if constexpr (kGrouped) {
#pragma unroll
      for (int m = 0; m < 2; m++)
#pragma unroll
        for (int n = 0; n < kBlocksN; n++)
#pragma unroll
          for (int i = 0; i < 4; i++) acc[m][n][i] = fmaf(scale[2 * m + i / 2], of_stage[m][n][i], acc[m][n][i]);
    }
  }

  // The warps' parts of the columns, [kGroupsK, x_rows, kTileRows], are added up in their order.
  cp_async_wait<0>();
  __syncthreads();
  float* parts = reinterpret_cast<float*>(memory);
#pragma unroll
  for (int m = 0; m < 2; m++)
#pragma unroll
    for (int n = 0; n < kBlocksN; n++) {
      if (8 * n >= x_rows) break;
#pragma unroll
      for (int i = 0; i < 4; i++)
        parts[(group_k * x_rows + 8 * n + 2 * t + i % 2) * (kTileRows + 4) + 32 * group_m + 16 * m + i / 2 * 8 + g] =
            acc[m][n][i];
    }
  __syncthreads();
  for (int i = thread; i < tokens * kTileRows; i += kGemvThreads) {
    int token = i / kTileRows;
    int64_t row = first_row + i % kTileRows;
    if (row >= p.rows) continue;
    float sum = 0;
#pragma unroll
    for (int k = 0; k < kGroupsK; k++) sum += parts[(k * x_rows + token) * (kTileRows + 4) + i % kTileRows];
    if constexpr (kInt8 && !kGrouped) sum *= scales.scale(row, 0);
    if (partial != nullptr)
      partial[(static_cast<int64_t>(split) * p.batch + first_token + token) * p.rows + row] = sum;
    else
      finish(p, row, first_token + token, sum);
  }
}

}  // namespace

#define LINEAR_TILES(NAME, T)                                                                                     \
  LATHE_KERNEL(NAME, kGemvThreads,                                                                                \
               (LINEAR_TENSORS, const T* values, int64_t w_stride, int64_t rows, int cols, int x_rows,            \
                float* partial)) {                                                                                \
    tiles<T, false>(LINEAR_PRODUCT, WeightRows<T>(values, w_stride), Scales{}, x_rows, partial);                  \
  }
#define LINEAR_TILES_INT8(KERNEL, NAME, GROUPED)                                                                  \
  KERNEL(NAME, kGemvThreads,                                                                                      \
         (LINEAR_TENSORS, const int8_t* values, int64_t w_stride, const void* scales, const int8_t* zeros,         \
          int scales_are_bf16, int groups, int group_size, int64_t rows, int cols, int x_rows, float* partial)) {  \
    tiles<int8_t, GROUPED>(LINEAR_PRODUCT, WeightRows<int8_t>(values, w_stride),                                  \
                           {scales, zeros, scales_are_bf16, groups, group_size}, x_rows, partial);                \
  }

// With groups ptxas would stop at 128 registers for the sake of a second block, and spill.
#ifdef LATHE_EMULATOR
#define LATHE_KERNEL_ALONE LATHE_KERNEL
#else
#define LATHE_KERNEL_ALONE(NAME, MAX_THREADS, PARAMS) \
  extern "C" __global__ void __launch_bounds__(MAX_THREADS, 1) NAME PARAMS
#endif

LINEAR_TILES(linear_tiles_bf16, bf16)
LINEAR_TILES(linear_tiles_f16, f16)
LINEAR_TILES_INT8(LATHE_KERNEL, linear_tiles_int8, false)
LINEAR_TILES_INT8(LATHE_KERNEL_ALONE, linear_tiles_int8_grouped, true)

/** grid (ceil(rows / 256), batch): a thread an output. Bound by its launch; parts come from the L2 cache. */
LATHE_KERNEL(linear_tiles_combine, 256, (LINEAR_TENSORS, const float* partial, int splits, int64_t rows)) {
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int t = static_cast<int>(blockIdx.y), cols = 0;
  if (row >= rows) return;
  float sum = 0;
#pragma unroll 4
  for (int s = 0; s < splits; s++) sum += partial[(static_cast<int64_t>(s) * batch + t) * rows + row];
  finish(LINEAR_PRODUCT, row, t, sum);
}
