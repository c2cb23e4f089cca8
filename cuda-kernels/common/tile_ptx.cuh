/* The instructions that score_tiles.cuh is made of, and what they do on the emulated GPU: mma.sync m16n8k16, ldmatrix and
 * cp.async of 16 bytes (PTX ISA 8.x, sections 9.7.14 and 9.7.9).
 *
 * The emulated cp.async copies at once; waiting for it is not checked here.
 */
#pragma once
#include "kv_types.cuh"

#ifdef LATHE_EMULATOR

namespace tile_ptx {

struct Operands {
  float* c;
  const uint32_t* a;
  uint32_t b[2];
};

template <class T>
LATHE_UNCHECKED inline float element(uint32_t pair, int i) {
  return kv_to_float(__builtin_bit_cast(T, static_cast<uint16_t>(pair >> 16 * i)));
}

template <class T>
LATHE_UNCHECKED inline void multiply(void* const* lanes, const void*) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; lane++) {
    const Operands& of = *static_cast<const Operands*>(lanes[lane]);
    int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 8; i++) a[g + i / 2 % 2 * 8][2 * t + i / 4 * 8 + i % 2] = element<T>(of.a[i / 2], i % 2);
    for (int i = 0; i < 4; i++) b[2 * t + i / 2 * 8 + i % 2][g] = element<T>(of.b[i / 2], i % 2);
  }
  for (int lane = 0; lane < 32; lane++) {
    const Operands& of = *static_cast<const Operands*>(lanes[lane]);
    for (int i = 0; i < 4; i++) {
      float sum = of.c[i];
      for (int k = 0; k < 16; k++) sum += a[lane / 4 + i / 2 * 8][k] * b[k][2 * (lane % 4) + i % 2];
      of.c[i] = sum;
    }
  }
}

struct alignas(16) Row {
  uint16_t values[8];
};

template <bool kTransposed>
inline void load(uint32_t (&registers)[4], const void* row) {
  Row mine = *static_cast<const Row*>(row), all[32];
  ::lathe::emulator::exchange(~0u, &mine, all, sizeof mine);
  int lane = static_cast<int>(::lathe::emulator::lane());
  for (int m = 0; m < 4; m++) {
    uint32_t pair[2];
    for (int i = 0; i < 2; i++) {
      int r = kTransposed ? 2 * (lane % 4) + i : lane / 4, c = kTransposed ? lane / 4 : 2 * (lane % 4) + i;
      pair[i] = all[8 * m + r].values[c];
    }
    registers[m] = pair[0] | pair[1] << 16;
  }
}

}  // namespace tile_ptx

#endif

/** c [16, 8] += a [16, 16] b [16, 8] of f16 or bf16, sums in fp32. */
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef LATHE_EMULATOR
  tile_ptx::Operands mine{c, a, {b0, b1}};
  ::lathe::emulator::collective(~0u, &mine, &tile_ptx::multiply<T>, nullptr);
#else
  if constexpr (__is_same(T, bf16))
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

/** Four 8 x 8 matrices of 16-bit values from shared memory; lane i passes where row i % 8 of matrix i / 8 starts. */
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&registers)[4], const void* row) {
#ifdef LATHE_EMULATOR
  tile_ptx::load<false>(registers, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
#endif
}

/** The same, transposed. */
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&registers)[4], const void* row) {
#ifdef LATHE_EMULATOR
  tile_ptx::load<true>(registers, row);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(registers[0]), "=r"(registers[1]), "=r"(registers[2]), "=r"(registers[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
#endif
}

/** Starts copying 16 bytes to shared memory; zeros where they are not `there`, and then `from` is not read. */
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool there) {
#ifdef LATHE_EMULATOR
  tile_ptx::Row row = {};
  if (there) row = *static_cast<const tile_ptx::Row*>(from);
  *static_cast<tile_ptx::Row*>(to) = row;
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(static_cast<uint32_t>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(there ? 16 : 0)
               : "memory");
#endif
}

/** What this thread has started since the last one is a group. */
__device__ __forceinline__ void cp_async_commit() {
#ifndef LATHE_EMULATOR
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

/** Waits for all groups of this thread but the last `kPending`. */
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#ifndef LATHE_EMULATOR
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

/** 16 bytes that no one writes meanwhile and that are read once: they take no room in L1. */
__device__ __forceinline__ uint4 load_streaming(const void* from) {
#ifdef LATHE_EMULATOR
  return *static_cast<const uint4*>(from);
#else
  uint4 loaded;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(loaded.x), "=r"(loaded.y), "=r"(loaded.z), "=r"(loaded.w)
               : "l"(from));
  return loaded;
#endif
}

/** Byte `i` of four, 128 added to each as a signed one, over 2^23: the float 8388608 + 128 + byte. */
__device__ __forceinline__ float biased_byte(uint32_t flipped, int i) {
#ifdef LATHE_EMULATOR
  return __uint_as_float(0x4b000000u | (flipped >> 8 * i & 0xffu));
#else
  return __uint_as_float(__byte_perm(flipped, 0x4b000000u, 0x7440u | static_cast<unsigned>(i)));
#endif
}

/** Two numbers rounded to bf16, the first in the lower half. */
__device__ __forceinline__ uint32_t pack_bf16(float first, float second) {
#ifdef LATHE_EMULATOR
  return static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(first))) |
         static_cast<uint32_t>(__bfloat16_as_ushort(__float2bfloat16_rn(second))) << 16;
#else
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
  return packed;
#endif
}
