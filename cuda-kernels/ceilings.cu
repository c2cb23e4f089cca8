/* What the device can do at best, for others to be held against.
 *
 *   read_buffer     reads `packs` * 16 bytes `rounds` times; bound by what holds the buffer: memory, or the L2 cache
 *   multiply_add    `steps` * 16 fused multiply-adds in fp32 a thread, in registers; bound by arithmetic
 *   mma_bf16        `steps` * 8 mma.sync m16n8k16 of bf16 a warp, in registers; bound by the tensor cores, as far as
 *   mma_s8          `steps` * 8 mma.sync m16n8k32 of s8              mma.sync reaches them (sm_90 and sm_100 have more)
 *
 * read_buffer: 16-byte loads, 8 of them in flight a thread; a block reads another part of the buffer in each round, so that
 * no round is served by the L1 cache. multiply_add: 16 chains a thread hide the latency of 4 cycles many times over.
 * mma_*: tiles of 64 x 16, 8 sums that don't wait for each other, times the warps of a scheduler; no two of the 8 have both
 * factors in common, so that none can be left out.
 * sink is written only where a sum is what it can't be, so that nothing is optimized away
 * proof: CudaCeilingsTest (what is read, that the chains and every tile compute), TensorCoreInstructionsTest (the machine
 *        code has the 8 instructions)      not measured on a GPU yet
 */
#include "common/numeric.cuh"
#include "common/ptx.cuh"

LATHE_KERNEL(read_buffer, 1024, (float* sink, const float* data, int64_t packs, int rounds)) {
  constexpr int kInFlight = 8;
  const Pack<float>* buffer = reinterpret_cast<const Pack<float>*>(data);
  int64_t part = (packs + gridDim.x - 1) / gridDim.x;  // of one block
  float sum = 0;
  for (int round = 0; round < rounds; round++) {
    int64_t first = (static_cast<int64_t>(blockIdx.x) + round) % gridDim.x * part;
    int64_t end = first + part < packs ? first + part : packs;
    for (int64_t i = first + threadIdx.x; i < end; i += kInFlight * static_cast<int64_t>(blockDim.x)) {
      Pack<float> loaded[kInFlight];
#pragma unroll
      for (int j = 0; j < kInFlight; j++) {
        int64_t at = i + j * static_cast<int64_t>(blockDim.x);
        loaded[j] = buffer[at < end ? at : i];
      }
#pragma unroll
      for (int j = 0; j < kInFlight; j++) {
        float whole = loaded[j].values[0] + loaded[j].values[1] + loaded[j].values[2] + loaded[j].values[3];
        sum += i + j * static_cast<int64_t>(blockDim.x) < end ? whole : 0.0f;
      }
    }
  }
  // The buffer holds nothing negative, except in the test that asks for the sums.
  if (sum < 0) sink[blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x] = sum;
}

LATHE_KERNEL(multiply_add, 1024, (float* sink, float factor, float addend, int steps)) {
  constexpr int kChains = 16;
  float chains[kChains];
#pragma unroll
  for (int j = 0; j < kChains; j++) chains[j] = static_cast<float>(j) + static_cast<float>(threadIdx.x);
  for (int step = 0; step < steps; step++) {
#pragma unroll
    for (int j = 0; j < kChains; j++) chains[j] = chains[j] * factor + addend;
  }
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kChains; j++) sum += chains[j];
  if (sum < 0) sink[blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x] = sum;
}

namespace {

/** Tiles of 16 rows of A, and of 8 columns of B, that a warp multiplies with each other. */
constexpr int kRowTiles = 4;
constexpr int kColTiles = 2;

/** Row tile i of A holds (i + 1) of `a` throughout, column tile j of B (j + 1) of `b`; both packed, as many as 4 bytes take. */
template <class Sum, class Pack, class Multiply>
__device__ __forceinline__ float multiply_tiles(Pack pack, int steps, Multiply multiply) {
  uint32_t a[kRowTiles][4], b[kColTiles];
#pragma unroll
  for (int i = 0; i < kRowTiles; i++) a[i][0] = a[i][1] = a[i][2] = a[i][3] = pack(0, i + 1);
#pragma unroll
  for (int j = 0; j < kColTiles; j++) b[j] = pack(1, j + 1);
  Sum sums[kRowTiles][kColTiles][4] = {};
  for (int step = 0; step < steps; step++) {
#pragma unroll
    for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
      for (int j = 0; j < kColTiles; j++) multiply(sums[i][j], a[i], b[j]);
    }
  }
  Sum sum = 0;
#pragma unroll
  for (int i = 0; i < kRowTiles; i++) {
#pragma unroll
    for (int j = 0; j < kColTiles; j++) sum += sums[i][j][0] + sums[i][j][1] + sums[i][j][2] + sums[i][j][3];
  }
  return static_cast<float>(sum);
}

}  // namespace

/** a and b: whole numbers from -64 to 64, times 1 to 4 exact in bf16. */
LATHE_KERNEL(mma_bf16, 256, (float* sink, int a, int b, int steps)) {
  float sum = multiply_tiles<float>(
      [&](int side, int times) {
        float value = static_cast<float>((side == 0 ? a : b) * times);
        return pack_bf16(value, value);
      },
      steps,
      [](float(&sums)[4], const uint32_t(&left)[4], uint32_t right) { mma_m16n8k16<bf16>(sums, left, right, right); });
  if (sum < 0) sink[blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x] = sum;
}

/** a and b: whole numbers from -32 to 31, times 1 to 4 within s8. */
LATHE_KERNEL(mma_s8, 256, (float* sink, int a, int b, int steps)) {
  float sum = multiply_tiles<int>(
      [&](int side, int times) { return 0x01010101u * static_cast<uint8_t>((side == 0 ? a : b) * times); },
      steps,
      [](int(&sums)[4], const uint32_t(&left)[4], uint32_t right) { mma_m16n8k32_s8(sums, left, right, right); });
  if (sum < 0) sink[blockIdx.x * static_cast<int64_t>(blockDim.x) + threadIdx.x] = sum;
}
