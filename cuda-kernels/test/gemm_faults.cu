/* gemm_w8a8.cu with one mistake, the canary of GemmW8A8Test: the two registers of B are swapped. Only g++ compiles it. */
#include "common/ptx.cuh"

inline void mma_with_b_swapped(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  mma_m16n8k32_s8(c, a, b1, b0);
}
#define mma_m16n8k32_s8 mma_with_b_swapped
#include "../gemm_w8a8.cu"
