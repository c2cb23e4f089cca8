#include "simd_avx2.h"
#include "table_impl.h"

LATHE_KERNELS(kAvx2, 2)
