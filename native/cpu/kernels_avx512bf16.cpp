#include "simd_avx512.h"
#include "table_impl.h"

LATHE_KERNELS(kAvx512Bf16, 16)
