/* linear_tiles.cu with one mistake, a canary of LinearKernelsTest: the high part of an infinity is infinite, so that the
 * low one is inf - inf. Only g++ compiles it.
 */
#include "common/ptx.cuh"

#define pack_bf16_finite pack_bf16
#include "../linear_tiles.cu"
