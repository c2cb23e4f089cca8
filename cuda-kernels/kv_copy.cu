/* Copies pages of keys and values, in all layers at once: copy-on-write, beams, swapping
 *
 *   to[layer][pairs[i].to] = from[layer][pairs[i].from]      for each pair and each of 2 * layers arrays of pages
 *
 *   from, to  [arrays]    addresses of arrays of pages, such as keys of layer 0, values of layer 0, keys of layer 1 ...; the
 *                         same, or another cache's, or pinned memory of the host
 *   pairs     [pairs, 2]  page to read and page to write; a negative one: the pair only fills up a batch
 *
 * Pairs are copied in no order: no page is written that another pair reads or writes.
 * 16 bytes at a time where page_bytes is a multiple and all addresses are, else 2 at a time
 * moves 2 * pairs * arrays * page_bytes bytes: bound by memory; not measured on a GPU yet
 * grid: pairs, arrays, parts of a page            proof: KvCopyKernelTest
 */
#include "common/numeric.cuh"

namespace {

struct alignas(16) Sixteen {
  uint64_t low, high;
};

template <class Unit>
__device__ __forceinline__ void copy_page(int64_t to, int64_t from, int64_t bytes) {
  Unit* target = reinterpret_cast<Unit*>(to);
  const Unit* source = reinterpret_cast<const Unit*>(from);
  int64_t count = bytes / static_cast<int64_t>(sizeof(Unit)), stride = static_cast<int64_t>(gridDim.z) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.z) * blockDim.x + threadIdx.x; i < count; i += stride) target[i] = source[i];
}

}  // namespace

LATHE_KERNEL(kv_copy_pages, 256, (const int64_t* to, const int64_t* from, const int* pairs, int64_t page_bytes)) {
  int64_t read = pairs[2 * static_cast<int64_t>(blockIdx.x)], written = pairs[2 * static_cast<int64_t>(blockIdx.x) + 1];
  if (read < 0 || written < 0) return;
  int64_t source = from[blockIdx.y] + read * page_bytes, target = to[blockIdx.y] + written * page_bytes;
  if (((source | target | page_bytes) & 15) == 0)
    copy_page<Sixteen>(target, source, page_bytes);
  else
    copy_page<uint16_t>(target, source, page_bytes);
}
