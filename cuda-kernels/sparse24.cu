/* 2:4 sparse weights      out[m, n] = sum over k of x[m, k] * w[n, k],  where of each w[n, 4 q .. 4 q + 3] two are zero
 *
 *   w       [N, K]   f16, bf16 or s8, row-major; K % 4 == 0
 *   values  [ceil(N / 16), ceil(K / 64), S, 32, 16 bytes]    what is kept, as lane i of mma.sp holds it (S = 2 steps of
 *                    32 columns for 16 bits, 1 of 64 for s8): one coalesced 16-byte load, no shared memory
 *   meta    [ceil(N / 16), ceil(K / 64), 32] u32             which two: lane i's word, of both steps (selectors 0 and 1)
 *   x       [M, K]   w's type, rows of a multiple of 16 bytes, 16-byte aligned      out [M, N] f32
 *   s8: out = sum * x_scale[m] * w_scale[n], sums exact (K <= 131071), rounded as gemm_w8a8 does; else sums in f32
 *   bias [N] f32 is added where it isn't null
 *
 * 9 bits a weight of 16, 5 of 8. Weights are mma.sp's A, so tokens come in eights: bound by reading weights up to 32 tokens,
 * which is what one block takes; more tokens read them again (through L2), so a dense GEMM may win there
 * grid (ceil(N / 16), ceil(M / 32)); 4 warps share 16 rows of w and divide K, each with two buffers for its tokens and no
 * barrier before their sums are added, always in the same order; ldmatrix without bank conflicts
 * not measured on a GPU yet
 * proof: Sparse24Test
 */
#include "common/kv_types.cuh"
#include "common/ptx.cuh"

namespace {

constexpr int kWarps = 4, kTokens = 32, kSlab = 64;

template <class T>
struct Slab {
  static constexpr int kSteps = sizeof(T) == 2 ? 2 : 1;           // mma.sp over its 64 columns
  static constexpr int kRowBytes = kSlab * sizeof(T);             // of one token
  static constexpr int kChunks = kRowBytes / 16;
  static constexpr int kFours = kSlab / 4 / kSteps;               // of one row in a step
  static constexpr int kPerRegister = 4 / static_cast<int>(sizeof(T));
};

__device__ __forceinline__ bool is_zero(int8_t x) { return x == 0; }
__device__ __forceinline__ bool is_zero(f16 x) { return (__half_as_ushort(x) & 0x7fff) == 0; }
__device__ __forceinline__ bool is_zero(bf16 x) { return (__bfloat16_as_ushort(x) & 0x7fff) == 0; }
__device__ __forceinline__ uint32_t bits_of(int8_t x) { return static_cast<uint8_t>(x); }
__device__ __forceinline__ uint32_t bits_of(f16 x) { return __half_as_ushort(x); }
__device__ __forceinline__ uint32_t bits_of(bf16 x) { return __bfloat16_as_ushort(x); }

/** Two columns of four, ascending, that cover all that isn't zero; `count` tells how much that is. */
struct Kept {
  int first, second, count;
};

template <class T>
__device__ __forceinline__ Kept choose(const T* w, int64_t row, int64_t four, int64_t rows, int64_t depth) {
  Kept kept{0, 1, 0};
  if (row >= rows || 4 * four >= depth) return kept;
  int columns[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    if (is_zero(w[row * depth + 4 * four + i])) continue;
    if (kept.count == 0) columns[0] = i;
    if (kept.count == 1) columns[1] = i;
    kept.count++;
  }
  if (kept.count == 1) kept.first = columns[0] < 3 ? columns[0] : 2, kept.second = kept.first + 1;
  if (kept.count >= 2) kept.first = columns[0], kept.second = columns[1];
  return kept;
}

/** Thread i of block (tile, slab) writes what lane i will read. `dense` gets the lowest index of a four with over two. */
template <class T>
__device__ __forceinline__ void compress(uint4* values, uint32_t* meta, unsigned long long* dense, const T* w,
                                         int64_t rows, int64_t depth, int64_t slabs) {
  int lane = threadIdx.x, g = lane / 4, t = lane % 4;
  int64_t tile = blockIdx.y, slab = blockIdx.x, fours = depth / 4;
  auto four_of = [&](int64_t row, int step, int q) {
    int64_t four = slab * (kSlab / 4) + step * Slab<T>::kFours + q;
    Kept kept = choose(w, row, four, rows, depth);
    if (kept.count > 2) atomicMin(dense, static_cast<unsigned long long>(row * fours + four));
    return kept;
  };
#pragma unroll
  for (int step = 0; step < Slab<T>::kSteps; step++) {
    uint32_t registers[4] = {};
#pragma unroll
    for (int r = 0; r < 4; r++) {
      int64_t row = 16 * tile + g + 8 * (r % 2);
#pragma unroll
      for (int pair = 0; pair < Slab<T>::kPerRegister / 2; pair++) {
        int q = (Slab<T>::kPerRegister * t + 2 * pair + 4 * Slab<T>::kPerRegister * (r / 2)) / 2;
        int64_t column = slab * kSlab + 4 * (step * Slab<T>::kFours + q);
        if (row >= rows || column >= depth) continue;
        Kept kept = four_of(row, step, q);
        constexpr int kBits = 8 * static_cast<int>(sizeof(T));
        const T* from = w + row * depth + column;
        registers[r] |= (bits_of(from[kept.first]) | bits_of(from[kept.second]) << kBits) << 2 * pair * kBits;
      }
    }
    values[((tile * slabs + slab) * Slab<T>::kSteps + step) * 32 + lane] =
        make_uint4(registers[0], registers[1], registers[2], registers[3]);
  }
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 8; i++) {
    // 16 bits: lanes 4 g and 4 g + 1 hold step 0, the others step 1, each 16 columns of rows g and g + 8.
    // s8: lanes 4 g and 4 g + 1 hold columns 0 to 31, the others 32 to 63, by turns of rows g and g + 8.
    bool narrow = sizeof(T) == 1;
    int64_t row = 16 * tile + g + 8 * (narrow ? t % 2 : i / 4);
    Kept kept = four_of(row, narrow ? 0 : t / 2, narrow ? 8 * (t / 2) + i : 4 * (t % 2) + i % 4);
    word |= static_cast<uint32_t>(kept.first | kept.second << 2) << 4 * i;
  }
  meta[(tile * slabs + slab) * 32 + lane] = word;
}

template <class T>
struct Weights {
  uint4 values[Slab<T>::kSteps];
  uint32_t meta;
};

__device__ __forceinline__ void multiply_add(float (&c)[4], const Weights<f16>& w, int step, const uint32_t (&b)[4]) {
  uint32_t a[4] = {w.values[step].x, w.values[step].y, w.values[step].z, w.values[step].w};
  if (step == 0)
    mma_sp_m16n8k32<f16, 0>(c, a, b, w.meta);
  else
    mma_sp_m16n8k32<f16, 1>(c, a, b, w.meta);
}
__device__ __forceinline__ void multiply_add(float (&c)[4], const Weights<bf16>& w, int step, const uint32_t (&b)[4]) {
  uint32_t a[4] = {w.values[step].x, w.values[step].y, w.values[step].z, w.values[step].w};
  if (step == 0)
    mma_sp_m16n8k32<bf16, 0>(c, a, b, w.meta);
  else
    mma_sp_m16n8k32<bf16, 1>(c, a, b, w.meta);
}
__device__ __forceinline__ void multiply_add(int (&c)[4], const Weights<int8_t>& w, int step, const uint32_t (&b)[4]) {
  uint32_t a[4] = {w.values[step].x, w.values[step].y, w.values[step].z, w.values[step].w};
  mma_sp_m16n8k64_s8(c, a, b, w.meta);
}

/** Where 16 bytes of a token lie in a warp's buffer. */
template <class T>
__device__ __forceinline__ int place(int token, int chunk) {
  int mixed = Slab<T>::kChunks == 8 ? chunk ^ (token & 7) : chunk ^ (token >> 1 & 3);
  return token * Slab<T>::kRowBytes + 16 * mixed;
}

template <class T>
__device__ __forceinline__ void copy_tokens(unsigned char* to, const T* x, int64_t first, int64_t m, int64_t depth,
                                            int64_t slab) {
  constexpr int kPerChunk = 16 / static_cast<int>(sizeof(T));
#pragma unroll
  for (int i = 0; i < kTokens * Slab<T>::kChunks / 32; i++) {
    int index = static_cast<int>(threadIdx.x % 32) + 32 * i, token = index / Slab<T>::kChunks;
    int chunk = index % Slab<T>::kChunks;
    int64_t column = slab * kSlab + chunk * kPerChunk;
    bool there = first + token < m && column < depth;
    cp_async_16(to + place<T>(token, chunk), there ? x + (first + token) * depth + column : x, there);
  }
}

/** Calls put(token, row of w, sum) for what the block has summed. */
template <class T, class Sum, class Put>
__device__ __forceinline__ void multiply(const uint4* values, const uint32_t* meta, const T* x, int64_t m, int64_t n,
                                         int64_t depth, Put put) {
  LATHE_SHARED(uint4, tokens, [kWarps][2][kTokens * Slab<T>::kChunks]);
  LATHE_SHARED(Sum, partial, [kWarps][16][32]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int64_t slabs = (depth + kSlab - 1) / kSlab, tile = blockIdx.x, first = static_cast<int64_t>(blockIdx.y) * kTokens;
  Sum sums[kTokens / 8][4] = {};
  auto buffer = [&](int which) { return reinterpret_cast<unsigned char*>(tokens[warp][which]); };
  auto load = [&](Weights<T>& w, int64_t slab) {
    if (slab >= slabs) return;
#pragma unroll
    for (int step = 0; step < Slab<T>::kSteps; step++)
      w.values[step] = load_once_16(&values[((tile * slabs + slab) * Slab<T>::kSteps + step) * 32 + lane]);
    w.meta = meta[(tile * slabs + slab) * 32 + lane];
  };
  Weights<T> now = {}, next = {};
  load(now, warp);
  if (warp < slabs) copy_tokens(buffer(0), x, first, m, depth, warp);
  cp_async_commit();
  int which = 0;
  for (int64_t slab = warp; slab < slabs; slab += kWarps, which ^= 1) {
    load(next, slab + kWarps);
    if (slab + kWarps < slabs) copy_tokens(buffer(which ^ 1), x, first, m, depth, slab + kWarps);
    cp_async_commit();
    cp_async_wait<1>();
    __syncwarp();
#pragma unroll
    for (int step = 0; step < Slab<T>::kSteps; step++)
#pragma unroll
      for (int j = 0; j < kTokens / 8; j++) {
        uint32_t b[4];
        ldmatrix_x4(b, buffer(which) + place<T>(8 * j + lane % 8, 4 * step + lane / 8));
        multiply_add(sums[j], now, step, b);
      }
    __syncwarp();  // this buffer is free
    now = next;
  }
#pragma unroll
  for (int i = 0; i < 16; i++) partial[warp][i][lane] = sums[i / 4][i % 4];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 16 / kWarps; i++) {
    int part = warp * (16 / kWarps) + i;
    Sum sum = partial[0][part][lane];
#pragma unroll
    for (int other = 1; other < kWarps; other++) sum += partial[other][part][lane];
    int64_t row = 16 * tile + lane / 4 + 8 * (part % 4 / 2), token = first + 8 * (part / 4) + 2 * (lane % 4) + part % 2;
    if (row < n && token < m) put(token, row, sum);
  }
}

template <class T>
__device__ __forceinline__ void multiply_floats(float* out, const uint4* values, const uint32_t* meta, const T* x,
                                                const float* bias, int64_t m, int64_t n, int64_t depth) {
  multiply<T, float>(values, meta, x, m, n, depth, [&](int64_t token, int64_t row, float sum) {
    out[token * n + row] = bias != nullptr ? sum + bias[row] : sum;
  });
}

}  // namespace

LATHE_KERNEL(sparse24_compress_f16, 32, (uint4 * values, uint32_t* meta, unsigned long long* dense, const f16* w,
                                         int64_t rows, int64_t depth, int64_t slabs)) {
  compress(values, meta, dense, w, rows, depth, slabs);
}
LATHE_KERNEL(sparse24_compress_bf16, 32, (uint4 * values, uint32_t* meta, unsigned long long* dense, const bf16* w,
                                          int64_t rows, int64_t depth, int64_t slabs)) {
  compress(values, meta, dense, w, rows, depth, slabs);
}
LATHE_KERNEL(sparse24_compress_s8, 32, (uint4 * values, uint32_t* meta, unsigned long long* dense, const int8_t* w,
                                        int64_t rows, int64_t depth, int64_t slabs)) {
  compress(values, meta, dense, w, rows, depth, slabs);
}

LATHE_KERNEL(sparse24_gemm_f16, 128, (float* out, const uint4* values, const uint32_t* meta, const f16* x,
                                      const float* bias, int64_t m, int64_t n, int64_t depth)) {
  multiply_floats(out, values, meta, x, bias, m, n, depth);
}
LATHE_KERNEL(sparse24_gemm_bf16, 128, (float* out, const uint4* values, const uint32_t* meta, const bf16* x,
                                       const float* bias, int64_t m, int64_t n, int64_t depth)) {
  multiply_floats(out, values, meta, x, bias, m, n, depth);
}
LATHE_KERNEL(sparse24_gemm_s8, 128, (float* out, const uint4* values, const uint32_t* meta, const int8_t* x,
                                     const float* bias, int64_t m, int64_t n, int64_t depth, const float* x_scale,
                                     const float* w_scale)) {
  multiply<int8_t, int>(values, meta, x, m, n, depth, [&](int64_t token, int64_t row, int sum) {
    out[token * n + row] = __fadd_rn(__fmul_rn(__fmul_rn(__int2float_rn(sum), x_scale[token]), w_scale[row]),
                                     bias != nullptr ? bias[row] : 0.0f);
  });
}
