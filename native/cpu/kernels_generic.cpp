#include "simd_generic.h"
#include "table_impl.h"

LATHE_KERNELS(kGeneric, 1)
