/* Runs every instruction of common/ptx.cuh over registers and memory that the host fills, and hands back what came out:
 * InstructionConformanceTest holds it against the PTX ISA's definitions. On a real GPU this is gpu-check's first step.
 *
 *   a [32, 4], b [32, 4], meta [32] 32-bit registers of lane 0, 1, ...; c [32, 4] f32 or s32, read and written
 * one warp a block
 */
#include <cuda_fp8.h>

#include "common/ptx.cuh"

namespace {

template <int kCount, class Value>
__device__ __forceinline__ void load(Value (&to)[kCount], const Value* from) {
#pragma unroll
  for (int i = 0; i < kCount; i++) to[i] = from[4 * threadIdx.x + i];
}
template <class Value>
__device__ __forceinline__ void keep(Value* to, const Value (&from)[4]) {
#pragma unroll
  for (int i = 0; i < 4; i++) to[4 * threadIdx.x + i] = from[i];
}

}  // namespace

#define LATHE_MMA_KERNEL(NAME, SUM, A_REGISTERS, B_REGISTERS, CALL)                                        \
  LATHE_KERNEL(NAME, 32, (SUM * out, const uint32_t* a_values, const uint32_t* b_values, const uint32_t* meta)) { \
    SUM c[4];                                                                                              \
    uint32_t a[A_REGISTERS], b[B_REGISTERS];                                 \
    load(c, out);                                                                                          \
    load(a, a_values);                                                                                     \
    load(b, b_values);                                                                                     \
    CALL;                                                                                                  \
    static_cast<void>(meta);                                                                               \
    keep(out, c);                                                                                          \
  }

LATHE_MMA_KERNEL(mma_m16n8k16_f16, float, 4, 2, mma_m16n8k16<__half>(c, a, b[0], b[1]))
LATHE_MMA_KERNEL(mma_m16n8k16_bf16, float, 4, 2, mma_m16n8k16<bf16>(c, a, b[0], b[1]))
LATHE_MMA_KERNEL(mma_m16n8k8_f16, float, 2, 1, mma_m16n8k8<__half>(c, a, b[0]))
LATHE_MMA_KERNEL(mma_m16n8k8_bf16, float, 2, 1, mma_m16n8k8<bf16>(c, a, b[0]))
LATHE_MMA_KERNEL(mma_m16n8k32_s8_, int, 4, 2, mma_m16n8k32_s8(c, a, b[0], b[1]))
LATHE_MMA_KERNEL(mma_m16n8k32_u8s8_, int, 4, 2, mma_m16n8k32_u8s8(c, a, b[0], b[1]))
LATHE_MMA_KERNEL(mma_m16n8k16_s8_, int, 2, 1, mma_m16n8k16_s8(c, a, b[0]))
LATHE_MMA_KERNEL(mma_sp_m16n8k32_f16_0, float, 4, 4, (mma_sp_m16n8k32<__half, 0>(c, a, b, meta[threadIdx.x])))
LATHE_MMA_KERNEL(mma_sp_m16n8k32_f16_1, float, 4, 4, (mma_sp_m16n8k32<__half, 1>(c, a, b, meta[threadIdx.x])))
LATHE_MMA_KERNEL(mma_sp_m16n8k32_bf16_0, float, 4, 4, (mma_sp_m16n8k32<bf16, 0>(c, a, b, meta[threadIdx.x])))
LATHE_MMA_KERNEL(mma_sp_m16n8k32_bf16_1, float, 4, 4, (mma_sp_m16n8k32<bf16, 1>(c, a, b, meta[threadIdx.x])))
LATHE_MMA_KERNEL(mma_sp_m16n8k64_s8_, int, 4, 4, mma_sp_m16n8k64_s8(c, a, b, meta[threadIdx.x]))

/** out [6, 32, 4]: what x1, x2, x4 and their transposed forms give a lane; rows [32, 8] of 16 bits. */
LATHE_KERNEL(ldmatrix_all, 32, (uint32_t * out, const uint16_t* rows)) {
  LATHE_SHARED(uint4, tile, [32]);
  tile[threadIdx.x] = reinterpret_cast<const uint4*>(rows)[threadIdx.x];
  __syncwarp();
  uint32_t one, two[2], four[4];
  auto put = [&](int form, int i, uint32_t value) { out[(form * 32 + static_cast<int>(threadIdx.x)) * 4 + i] = value; };
  ldmatrix_x1(one, &tile[threadIdx.x]);
  put(0, 0, one);
  ldmatrix_x1_trans(one, &tile[threadIdx.x]);
  put(1, 0, one);
  ldmatrix_x2(two, &tile[threadIdx.x]);
  for (int i = 0; i < 2; i++) put(2, i, two[i]);
  ldmatrix_x2_trans(two, &tile[threadIdx.x]);
  for (int i = 0; i < 2; i++) put(3, i, two[i]);
  ldmatrix_x4(four, &tile[threadIdx.x]);
  for (int i = 0; i < 4; i++) put(4, i, four[i]);
  ldmatrix_x4_trans(four, &tile[threadIdx.x]);
  for (int i = 0; i < 4; i++) put(5, i, four[i]);
}

/** out [5, 32, 16 bytes] from x [32, 16 bytes]: whole, none, the first 4 (lane % 4 + 1) bytes, twice 8, four times 4. */
LATHE_KERNEL(cp_async_all, 32, (uint4 * out, const uint4* x)) {
  LATHE_SHARED(uint4, tile, [5][32]);
  int lane = static_cast<int>(threadIdx.x);
  const char* from = reinterpret_cast<const char*>(x + lane);
  cp_async_16(&tile[0][lane], from);
  cp_async_16(&tile[1][lane], from, false);
  cp_async_commit();
  cp_async_16_part(&tile[2][lane], from, 4 * (lane % 4 + 1));
  cp_async_8(&tile[3][lane], from);
  cp_async_8(reinterpret_cast<char*>(&tile[3][lane]) + 8, from + 8, lane % 2 == 0);
  cp_async_commit();
  cp_async_wait<1>();
  uint4 early = tile[0][lane];
  cp_async_16_once(&tile[0][lane], from, true, evict_first_policy());
  for (int i = 0; i < 4; i++)
    cp_async_4(reinterpret_cast<char*>(&tile[4][lane]) + 4 * i, from + 4 * i, i != lane % 4);
  cp_async_wait_all();
  __syncthreads();
  uint4 other = tile[0][31 - lane];
  other.x ^= early.x;
  out[lane] = other;
  for (int i = 1; i < 5; i++) out[32 * i + lane] = tile[i][lane];
  out[5 * 32 + lane] = load_once_16(from);
}

/** cp_async_all's canary: nobody waits for what is read. Only for the emulated GPU. */
LATHE_KERNEL(cp_async_without_wait, 32, (uint4 * out, const uint4* x)) {
  LATHE_SHARED(uint4, tile, [32]);
  cp_async_16(&tile[threadIdx.x], &x[threadIdx.x]);
  cp_async_commit();
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}
/** It waits, but for one group too few. */
LATHE_KERNEL(cp_async_waits_too_little, 32, (uint4 * out, const uint4* x)) {
  LATHE_SHARED(uint4, tile, [2][32]);
  for (int i = 0; i < 2; i++) {
    cp_async_16(&tile[i][threadIdx.x], &x[threadIdx.x]);
    cp_async_commit();
  }
  cp_async_wait<1>();
  __syncthreads();
  out[threadIdx.x] = tile[1][threadIdx.x];
}
/** It waits, but other threads read before a barrier. */
LATHE_KERNEL(cp_async_without_barrier, 64, (uint4 * out, const uint4* x)) {
  LATHE_SHARED(uint4, tile, [64]);
  cp_async_16(&tile[threadIdx.x], &x[threadIdx.x % 32]);
  cp_async_wait_all();
  if (threadIdx.x < 32) out[threadIdx.x] = tile[63 - threadIdx.x];
}
/** Its source ends one copy too early. */
LATHE_KERNEL(cp_async_past_the_end, 32, (uint4 * out, const uint4* x)) {
  LATHE_SHARED(uint4, tile, [32]);
  cp_async_16(&tile[threadIdx.x], &x[threadIdx.x + 1]);
  cp_async_wait_all();
  __syncthreads();
  out[threadIdx.x] = tile[threadIdx.x];
}

/** Conversions and arithmetic of 16 bits for all pairs (x[i], y[i], z[i]); out [15, count] of 32 bits. */
LATHE_KERNEL(half_arithmetic, 256, (uint32_t * out, const uint16_t* x, const uint16_t* y, const uint16_t* z, int count)) {
  int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= count) return;
  __half a = __ushort_as_half(x[i]), b = __ushort_as_half(y[i]), c = __ushort_as_half(z[i]);
  __nv_bfloat16 d = __ushort_as_bfloat16(x[i]), e = __ushort_as_bfloat16(y[i]), f = __ushort_as_bfloat16(z[i]);
  int64_t n = count;
  out[i] = __float_as_uint(__half2float(a));
  out[n + i] = __half_as_ushort(__hadd_rn(a, b));
  out[2 * n + i] = __half_as_ushort(__hmul_rn(a, b));
  out[3 * n + i] = __half_as_ushort(__hfma(a, b, c));
  out[4 * n + i] = __float_as_uint(__bfloat162float(d));
  out[5 * n + i] = __bfloat16_as_ushort(__hadd_rn(d, e));
  out[6 * n + i] = __bfloat16_as_ushort(__hmul_rn(d, e));
  out[7 * n + i] = __bfloat16_as_ushort(__hfma(d, e, f));
  float wide = __uint_as_float(static_cast<uint32_t>(x[i]) << 16 | y[i]);
  out[8 * n + i] = __half_as_ushort(__float2half_rn(wide));
  out[9 * n + i] = __bfloat16_as_ushort(__float2bfloat16_rn(wide));
  float scaled = __half2float(a);
  out[10 * n + i] = __nv_cvt_float_to_fp8(scaled, __NV_SATFINITE, __NV_E4M3);
  out[11 * n + i] = __nv_cvt_float_to_fp8(scaled, __NV_SATFINITE, __NV_E5M2);
  out[12 * n + i] = static_cast<__half_raw>(__nv_cvt_fp8_to_halfraw(static_cast<unsigned char>(x[i]), __NV_E4M3)).x;
  out[13 * n + i] = static_cast<uint32_t>(__float2int_rn(wide));
  out[14 * n + i] = pack_bf16_finite(wide, -wide);
}
