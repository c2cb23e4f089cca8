/* sparse24.cu with one mistake, the canary of Sparse24Test: both steps take the first's metadata. Only g++ compiles it. */
#include "common/ptx.cuh"

template <class T, int kSelector>
inline void mma_sp_of_first_selector(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[4], uint32_t metadata) {
  mma_sp_m16n8k32<T, 0>(c, a, b, metadata);
}
#define mma_sp_m16n8k32 mma_sp_of_first_selector
#include "../sparse24.cu"
