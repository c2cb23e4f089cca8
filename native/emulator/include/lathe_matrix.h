/* ldmatrix and mma.sync over the registers of a warp's lanes (PTX ISA, sections 9.7.14.5 and 9.7.14.6).
 *
 * One map serves all shapes used here. With g = lane / 4, t = lane % 4 and E values in a 32-bit register (2 of 16 bits,
 * 4 of 8 bits), value j of a lane's register r is
 *
 *   A  row g + 8 (r % 2)      column E t + j + 4 E (r / 2)
 *   B  column g               row    E t + j + 4 E r
 *   C  row g + 8 (i / 2)      column 2 t + i % 2            of its value i
 *
 * Sparse A is [16, k / 2]: of each four columns two are kept, and two bits apiece say which. Row and the four columns of
 * chunk q find theirs
 *   16 bits, k = 32   in bits 4 (q % 4) + 16 (row / 8) of lane 4 (row % 8) + 2 selector + q / 4
 *   8 bits, k = 64    in bits 4 (q % 8) of lane 4 (row % 8) + row / 8 + 2 (q / 8)
 *
 * Metadata's lanes are in the ISA's figures only, of which some are known to be wrong. The map here is that of a library
 * that has run on such GPUs for years: ELayout of CuTe's SM80_SPARSE_16x8x32_F32F16F16F32_TN and
 * SM80_SPARSE_16x8x64_S32S8S8S32_TN, and what CUTLASS's reorder_meta and one ldmatrix after it make of a row-major matrix.
 *
 * 8-bit products are summed exactly and wrap as int32 does. Products of 16-bit floats are exact too; how they are added
 * to C, core/sums.h says.
 */
#pragma once
#include <cstdint>

namespace lathe::emulator {

enum class MmaType : uint8_t { kF16, kBf16, kS8, kU8S8 };

/** What an mma instruction is: the type, registers of A and B, and for a sparse one its selector; -1: dense. */
struct MmaKind {
  MmaType type;
  int a_registers, b_registers;
  int selector = -1;
};

/** What one lane passes. `c` is float[4] or int[4]. */
struct MmaOperands {
  const uint32_t* a;
  const uint32_t* b;
  void* c;
  uint32_t metadata;
};

}  // namespace lathe::emulator
