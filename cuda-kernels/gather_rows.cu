/* Gather      out[i, :] = x[rows[i], :]
 *
 *   out   [count, cols]  f32
 *   x     [any, cols]    f32
 *   rows  [count]        each a row of x
 *
 * 16 bytes at a time where cols % 4 == 0 and both start at 16 bytes; any cols and alignment is correct
 * moves 8 * count * cols bytes, so it is bound by memory, in a decode step by its launch; not measured on a GPU yet
 * grid: rows of out, pieces of a row; any block size
 * twin: ReferenceBackend.gatherRows          proof: GatherRowsKernelTest
 */
#include "common/kv_types.cuh"

LATHE_KERNEL(gather_rows_f32, 256, (float* out, const float* x, const int* rows, int cols)) {
  float* to = out + static_cast<int64_t>(blockIdx.x) * cols;
  const float* from = x + static_cast<int64_t>(rows[blockIdx.x]) * cols;
  int start = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  int step = static_cast<int>(gridDim.y * blockDim.x);
  if (cols % 4 == 0 && is_aligned16(out) && is_aligned16(x)) {
    for (int i = start; i < cols / 4; i += step) store_four(to + 4 * i, load_four(from + 4 * i));
  } else {
    for (int c = start; c < cols; c += step) to[c] = from[c];
  }
}
