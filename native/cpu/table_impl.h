/* The table of one instruction set: included after simd_*.h by the file that is compiled for it. */
#pragma once
#include "attention_impl.h"
#include "gemm_impl.h"
#include "int8_impl.h"
#include "rows_impl.h"
#include "variants_impl.h"

#define LATHE_KERNELS(name, bit)                                                                                     \
  namespace lathe {                                                                                                  \
  const Kernels name = {bit,              linear,     linearScratch, toIntegers,   integerLinear,                    \
                        dequantize,       rmsNorm,    rotate,        writeKv,         attentionWithin,                  \
                        attentionScratch, gate,       argmax,        readAll,      multiplyAdds,                     \
                        integerMultiplyAdds, kByteMultiplyAdds, layerNorm, addRmsNorm, activateRow, softCap};                         \
  }
