/* The largest value of each row, the first of equals
 *
 *   x        [rows, cols]    f32, row-major
 *   partial  [rows, chunks]  of each chunk, as `ranked` says
 *   largest  [rows]          the same of each row; may be null
 *   out      [rows]          its column
 *
 * As the reference compares: -0 equals 0; NaN is never larger than anything, but one in column 0 is never passed either.
 * argmax_chunks, then argmax_rows: a row of logits is too long for one block, and there may be only one
 * moves 4 * rows * cols bytes, so it is bound by memory, for few rows by its two launches; not measured on a GPU yet
 * grid: rows, chunks; then rows                   twin: ReferenceBackend.argmax          proof: SamplingKernelsTest
 */
#include "common/ranking.cuh"

LATHE_KERNEL(argmax_chunks, 256, (uint64_t* partial, const float* x, int64_t cols)) {
  int64_t row = blockIdx.x;  // of which there may be more than a grid has in y
  const float* values = x + row * cols;
  uint64_t most = 0;
  for (int64_t c = static_cast<int64_t>(blockIdx.y) * kChunk + threadIdx.x;
       c < cols && c < (static_cast<int64_t>(blockIdx.y) + 1) * kChunk; c += blockDim.x) {
    uint64_t rank = ranked(values[c], static_cast<unsigned>(c));
    if (rank > most) most = rank;
  }
  most = block_largest(most);
  if (threadIdx.x == 0) partial[row * gridDim.y + blockIdx.y] = most;
}

LATHE_KERNEL(argmax_rows, 256, (int* out, uint64_t* largest, const uint64_t* partial, int chunks)) {
  int64_t row = blockIdx.x;
  uint64_t most = 0;
  for (int c = threadIdx.x; c < chunks; c += blockDim.x) {
    uint64_t rank = partial[row * chunks + c];
    if (rank > most) most = rank;
  }
  most = block_largest(most);
  if (threadIdx.x != 0) return;
  out[row] = static_cast<int>(column_of(most));
  if (largest != nullptr) largest[row] = most;
}
