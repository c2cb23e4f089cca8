/* What the device can do at best, for others to be held against.
 *
 *   read_buffer     reads `packs` * 16 bytes `rounds` times; bound by what holds the buffer: memory, or the L2 cache
 *   multiply_add    `steps` * 16 fused multiply-adds in fp32 a thread, in registers; bound by arithmetic
 *
 * read_buffer: 16-byte loads, 8 of them in flight a thread; a block reads another part of the buffer in each round, so that
 * no round is served by the L1 cache. multiply_add: 16 chains a thread hide the latency of 4 cycles many times over.
 * sink is written only where a sum is what it can't be, so that nothing is optimized away
 * proof: CudaCeilingsTest (what is read, and that the chains compute)      not measured on a GPU yet
 */
#include "common/numeric.cuh"

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
