/* Embedding      out[t, :] = table[tokens[t] - first, :], or added to it, where the table has that row
 *
 *   out      [tokens, cols]  f32
 *   tokens   [tokens]        rows of a table of which this one begins with row `first`: a token that lies in another part
 *                            is left alone
 *   table    [rows, cols]    row-major, of a format:
 *     f32, f16, bf16  values
 *     int8            (values[r, c] - zeros[r, g]) * scales[r, g], g = c / group_size; scales f32 or bf16, zeros may be null
 *     bitmap_*        bit c % 8 of byte c / 8 of bitmap[r, :] says whether a value is kept; those of row r begin with
 *                     values[offsets[r]]; int8 with a scale (and a zero point) a row; what isn't kept is 0
 *
 * four columns at a time where cols % 4 == 0, out starts at 16 bytes, values at 4 of them (int8: and group_size % 4 == 0);
 * any cols and alignment is correct
 * moves (4 + sizeof(T)) * tokens * cols bytes, so it is bound by memory, in a decode step by its launch; not measured on a
 * GPU yet
 * grid: dense and int8: tokens, pieces of a row; bitmap: a block a token, which ranks blockDim.x * 32 columns at a time;
 * blocks of whole warps, at most 256 threads
 * twin: ReferenceBackend.embed, addEmbedding          proof: EmbeddingKernelTest
 */
#include "common/kv_types.cuh"

namespace {

__device__ __forceinline__ float number(float x) { return x; }
__device__ __forceinline__ float number(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float number(f16 x) { return __half2float(x); }
__device__ __forceinline__ float number(int8_t x) { return static_cast<float>(x); }

/** One scale, of f32 or bf16. */
__device__ __forceinline__ float scale_at(const void* scales, int are_bf16, int64_t i) {
  return are_bf16 ? number(static_cast<const bf16*>(scales)[i]) : static_cast<const float*>(scales)[i];
}

/** Writes four columns, or adds to them. */
__device__ __forceinline__ void put_four(float* out, Four<float> x, int add) {
  if (add) {
    Four<float> before = load_four(out);
#pragma unroll
    for (int i = 0; i < 4; i++) x.values[i] += before.values[i];
  }
  store_four(out, x);
}
__device__ __forceinline__ void put(float* out, float x, int add) { *out = add ? *out + x : x; }

template <class T>
__device__ __forceinline__ bool by_fours(const float* out, const T* values, int cols) {
  return cols % 4 == 0 && is_aligned16(out) && reinterpret_cast<uintptr_t>(values) % (4 * sizeof(T)) == 0;
}

/** The table's row of this block's token; negative where it has none. */
__device__ __forceinline__ int64_t table_row(const int* tokens, int64_t first, int64_t rows) {
  int64_t row = tokens[blockIdx.x] - first;
  return row < rows ? row : -1;
}

template <class T>
__device__ __forceinline__ void embed_dense(float* out, const int* tokens, int64_t first, int add, const T* values,
                                            int64_t rows, int cols) {
  int64_t row = table_row(tokens, first, rows);
  if (row < 0) return;
  float* to = out + static_cast<int64_t>(blockIdx.x) * cols;
  const T* from = values + row * cols;
  int start = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  int step = static_cast<int>(gridDim.y * blockDim.x);
  if (by_fours(out, values, cols)) {
    for (int i = start; i < cols / 4; i += step) {
      Four<T> four = reinterpret_cast<const Four<T>*>(from)[i];
      Four<float> x;
#pragma unroll
      for (int j = 0; j < 4; j++) x.values[j] = number(four.values[j]);
      put_four(to + 4 * i, x, add);
    }
  } else {
    for (int c = start; c < cols; c += step) put(to + c, number(from[c]), add);
  }
}

/** Exclusive prefix sum over a block of whole warps, and the whole sum. Not twice without a barrier between. */
__device__ __forceinline__ int block_prefix(int x, int* total) {
  LATHE_SHARED(int, warp_totals, [32]);
  int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  int warps = static_cast<int>(blockDim.x) / 32;
  int sum = x;  // of the lanes up to this one
#pragma unroll
  for (int delta = 1; delta < 32; delta *= 2) {
    int below = __shfl_up_sync(0xffffffffu, sum, delta);
    if (lane >= delta) sum += below;
  }
  if (lane == 31) warp_totals[warp] = sum;
  __syncthreads();
  int before = 0, all = 0;
  for (int w = 0; w < warps; w++) {
    int there = warp_totals[w];
    before += w < warp ? there : 0;
    all += there;
  }
  *total = all;
  return before + sum - x;
}

/** 32 bits of a row's bitmap from byte `first` on, with zeros behind its end; a row starts at any byte. */
__device__ __forceinline__ uint32_t bits_at(const uint8_t* row, int first, int bytes) {
  uint32_t word = 0;
#pragma unroll
  for (int i = 0; i < 4; i++)
    if (first + i < bytes) word |= static_cast<uint32_t>(row[first + i]) << (8 * i);
  return word;
}

constexpr int kBitmapThreads = 256;

/** What is kept of a row, without its scale. */
template <class T>
struct Kept {
  const T* values;  // the row's first
  float zero, scale;
  bool scaled;

  __device__ __forceinline__ float at(int64_t i) const {
    float x = number(values[i]);
    return scaled ? (x - zero) * scale : x;
  }
};

template <class T>
__device__ __forceinline__ void embed_bitmap(float* out, const int* tokens, int64_t first, int add,
                                             const uint8_t* bitmap, const int64_t* offsets, const T* values,
                                             const void* scales, int bf16_scales, const int8_t* zeros, int64_t rows,
                                             int cols) {
  LATHE_SHARED(uint32_t, words, [kBitmapThreads]);
  LATHE_SHARED(int, ranks, [kBitmapThreads]);
  int64_t row = table_row(tokens, first, rows);
  if (row < 0) return;
  float* to = out + static_cast<int64_t>(blockIdx.x) * cols;
  Kept<T> kept{values + offsets[row], 0.0f, 1.0f, scales != nullptr};
  if (scales != nullptr) kept.scale = scale_at(scales, bf16_scales, row);
  if (zeros != nullptr) kept.zero = number(zeros[row]);
  int bytes = (cols + 7) / 8, thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
  const uint8_t* bits = bitmap + row * bytes;
  bool fours = cols % 4 == 0 && is_aligned16(out);
  int before = 0;  // values kept before this round's columns
  for (int start = 0; start < cols; start += threads * 32) {
    uint32_t word = bits_at(bits, start / 8 + 4 * thread, bytes);
    int total;
    int rank = before + block_prefix(__popc(word), &total);
    words[thread] = word;
    ranks[thread] = rank;
    __syncthreads();
    int end = smaller(cols - start, threads * 32);
    // Four columns a thread, so that neighbours write to neighbouring places.
    for (int c = 4 * thread; c < end; c += 4 * threads) {
      uint32_t there = words[c / 32];
      int64_t next = ranks[c / 32] + __popc(there & ((1u << (c % 32)) - 1));
      Four<float> x;
#pragma unroll
      for (int j = 0; j < 4; j++) {
        bool is_kept = there >> (c % 32 + j) & 1;
        x.values[j] = is_kept ? kept.at(next) : 0.0f;
        next += is_kept;
      }
      if (fours) {
        put_four(to + start + c, x, add);
      } else {
#pragma unroll
        for (int j = 0; j < 4; j++)
          if (c + j < end) put(to + start + c + j, x.values[j], add);
      }
    }
    before += total;
    __syncthreads();  // words, ranks and the prefix's memory are free again
  }
}

}  // namespace

#define EMBEDDING_TARGET float *out, const int *tokens, int64_t first, int add

#define EMBEDDING_DENSE(NAME, T)                                                            \
  LATHE_KERNEL(NAME, 256, (EMBEDDING_TARGET, const T* values, int64_t rows, int cols)) {    \
    embed_dense(out, tokens, first, add, values, rows, cols);                               \
  }
EMBEDDING_DENSE(embedding_f32, float)
EMBEDDING_DENSE(embedding_f16, f16)
EMBEDDING_DENSE(embedding_bf16, bf16)

LATHE_KERNEL(embedding_int8, 256,
             (EMBEDDING_TARGET, const int8_t* values, const void* scales, int bf16_scales, const int8_t* zeros,
              int groups, int group_size, int64_t rows, int cols)) {
  int64_t row = table_row(tokens, first, rows);
  if (row < 0) return;
  float* to = out + static_cast<int64_t>(blockIdx.x) * cols;
  const int8_t* from = values + row * cols;
  int start = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  int step = static_cast<int>(gridDim.y * blockDim.x);
  if (by_fours(out, values, cols) && group_size % 4 == 0) {
    for (int i = start; i < cols / 4; i += step) {
      int64_t group = row * groups + 4 * i / group_size;
      float scale = scale_at(scales, bf16_scales, group), zero = zeros == nullptr ? 0.0f : number(zeros[group]);
      Four<int8_t> four = reinterpret_cast<const Four<int8_t>*>(from)[i];
      Four<float> x;
#pragma unroll
      for (int j = 0; j < 4; j++) x.values[j] = (number(four.values[j]) - zero) * scale;
      put_four(to + 4 * i, x, add);
    }
  } else {
    for (int c = start; c < cols; c += step) {
      int64_t group = row * groups + c / group_size;
      float zero = zeros == nullptr ? 0.0f : number(zeros[group]);
      put(to + c, (number(from[c]) - zero) * scale_at(scales, bf16_scales, group), add);
    }
  }
}

#define EMBEDDING_BITMAP(NAME, T)                                                                                   \
  LATHE_KERNEL(NAME, kBitmapThreads,                                                                                \
               (EMBEDDING_TARGET, const uint8_t* bitmap, const int64_t* offsets, const T* values, int64_t rows,     \
                int cols)) {                                                                                        \
    embed_bitmap(out, tokens, first, add, bitmap, offsets, values, nullptr, 0, nullptr, rows, cols);                \
  }
EMBEDDING_BITMAP(embedding_bitmap_f32, float)
EMBEDDING_BITMAP(embedding_bitmap_f16, f16)
EMBEDDING_BITMAP(embedding_bitmap_bf16, bf16)

LATHE_KERNEL(embedding_bitmap_int8, kBitmapThreads,
             (EMBEDDING_TARGET, const uint8_t* bitmap, const int64_t* offsets, const int8_t* values,
              const void* scales, int bf16_scales, const int8_t* zeros, int64_t rows, int cols)) {
  embed_bitmap(out, tokens, first, add, bitmap, offsets, values, scales, bf16_scales, zeros, rows, cols);
}
