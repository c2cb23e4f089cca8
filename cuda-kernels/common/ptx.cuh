/* The one header with inline PTX, and what each instruction is on the emulated GPU (PTX ISA 8.x, 9.7.9 and 9.7.14).
 *
 *   mma_m16n8k16<T>(c, a, b0, b1)      c [16, 8] f32 += a [16, 16] b [16, 8]       T: f16, bf16
 *   mma_m16n8k8<T>(c, a, b)            the same, k = 8
 *   mma_m16n8k32_s8(c, a, b0, b1)      c s32 += a [16, 32] b [32, 8] of s8; _u8s8: a is u8
 *   mma_m16n8k16_s8(c, a, b)           the same, k = 16
 *   mma_sp_m16n8k32<T, kSelector>      a is 2:4 sparse [16, 32]: its values as [16, 16] and metadata
 *   mma_sp_m16n8k64_s8                 a is 2:4 sparse [16, 64] of s8
 *   ldmatrix_x1, _x2, _x4, each _trans 8 x 8 matrices of 16 bits from shared memory; 8 x 16 of 8 bits, not transposed
 *   cp_async_4, _8, _16                global to shared, later; zeros where it isn't there
 *   load_once_16                       16 bytes that nobody reads again
 *
 * Which lane and register holds which element: lathe_matrix.h; held against the PTX ISA's formulas by
 * InstructionConformanceTest, on a real GPU too.
 *
 * What a whole warp does together is `volatile`: to the compiler an mma is arithmetic on a lane's own registers, which
 * it may move behind a branch that only some lanes take, or leave out where a lane needs no result. What touches shared
 * memory says "memory" besides, so that it stays on its side of stores and barriers; an mma touches none, so loads may
 * pass it. In which order instructions are issued is up to ptxas, which knows what they do. InlinePtxTest holds this.
 */
#pragma once
#include <cuda_fp16.h>

#include "lathe_cuda.cuh"

#ifdef LATHE_EMULATOR
#include <lathe_matrix.h>
#define LATHE_MMA(TYPE, A, B, SELECTOR, C, A_REGISTERS, B_REGISTERS, METADATA)                                       \
  ::lathe::emulator::mma({TYPE, A, B, SELECTOR}, {A_REGISTERS, B_REGISTERS, C, METADATA})
namespace lathe_ptx {
template <class T>
inline constexpr ::lathe::emulator::MmaType kFloat =
    std::is_same_v<T, bf16> ? ::lathe::emulator::MmaType::kBf16 : ::lathe::emulator::MmaType::kF16;
}
#else
namespace lathe_ptx {
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}
}  // namespace lathe_ptx
#define LATHE_C(TYPE) TYPE(c[0]), TYPE(c[1]), TYPE(c[2]), TYPE(c[3])
#endif

template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  static_assert(__is_same(T, bf16) || __is_same(T, __half));
#ifdef LATHE_EMULATOR
  uint32_t b[2] = {b0, b1};
  LATHE_MMA(lathe_ptx::kFloat<T>, 4, 2, -1, c, a, b, 0);
#else
  if constexpr (__is_same(T, bf16))
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

template <class T>
__device__ __forceinline__ void mma_m16n8k8(float (&c)[4], const uint32_t (&a)[2], uint32_t b) {
  static_assert(__is_same(T, bf16) || __is_same(T, __half));
#ifdef LATHE_EMULATOR
  LATHE_MMA(lathe_ptx::kFloat<T>, 2, 1, -1, c, a, &b, 0);
#else
  if constexpr (__is_same(T, bf16))
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(b));
  else
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(b));
#endif
}

__device__ __forceinline__ void mma_m16n8k32_s8(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef LATHE_EMULATOR
  uint32_t b[2] = {b0, b1};
  LATHE_MMA(::lathe::emulator::MmaType::kS8, 4, 2, -1, c, a, b, 0);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : LATHE_C("+r")
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

__device__ __forceinline__ void mma_m16n8k32_u8s8(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
#ifdef LATHE_EMULATOR
  uint32_t b[2] = {b0, b1};
  LATHE_MMA(::lathe::emulator::MmaType::kU8S8, 4, 2, -1, c, a, b, 0);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : LATHE_C("+r")
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

__device__ __forceinline__ void mma_m16n8k16_s8(int (&c)[4], const uint32_t (&a)[2], uint32_t b) {
#ifdef LATHE_EMULATOR
  LATHE_MMA(::lathe::emulator::MmaType::kS8, 2, 1, -1, c, a, &b, 0);
#else
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
      : LATHE_C("+r")
      : "r"(a[0]), "r"(a[1]), "r"(b));
#endif
}

/** Lanes 4 g + 2 kSelector and the one after it hold the metadata of rows g and g + 8. Pairs must ascend. */
template <class T, int kSelector>
__device__ __forceinline__ void mma_sp_m16n8k32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[4],
                                                uint32_t metadata) {
  static_assert(__is_same(T, bf16) || __is_same(T, __half));
  static_assert(kSelector == 0 || kSelector == 1);
#ifdef LATHE_EMULATOR
  LATHE_MMA(lathe_ptx::kFloat<T>, 4, 4, kSelector, c, a, b, metadata);
#else
  if constexpr (__is_same(T, bf16))
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.bf16.bf16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, %13;"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(metadata),
          "n"(kSelector));
  else
    asm volatile(
        "mma.sp::ordered_metadata.sync.aligned.m16n8k32.row.col.f32.f16.f16.f32 "
        "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, %13;"
        : LATHE_C("+f")
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(metadata),
          "n"(kSelector));
#endif
}

/** Every lane holds metadata. Pairs must ascend. */
__device__ __forceinline__ void mma_sp_m16n8k64_s8(int (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[4],
                                                   uint32_t metadata) {
#ifdef LATHE_EMULATOR
  LATHE_MMA(::lathe::emulator::MmaType::kS8, 4, 4, 0, c, a, b, metadata);
#else
  asm volatile(
      "mma.sp::ordered_metadata.sync.aligned.m16n8k64.row.col.s32.s8.s8.s32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9,%10,%11}, {%0,%1,%2,%3}, %12, 0;"
      : LATHE_C("+r")
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(metadata));
#endif
}

/** Lane i passes where row i % 8 of matrix i / 8 starts, a multiple of 16 bytes; lanes past the matrices, anything. */
__device__ __forceinline__ void ldmatrix_x1(uint32_t& r, const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(&r, row, 1, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(r)
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x1_trans(uint32_t& r, const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(&r, row, 1, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
               : "=r"(r)
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(r, row, 2, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(r, row, 2, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(r, row, 4, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::ldmatrix(r, row, 4, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(lathe_ptx::shared_address(row))
               : "memory");
#endif
}

/** Starts copying 16 bytes to shared memory, past L1; zeros where they are not `there`, and then `from` is not read. */
__device__ __forceinline__ void cp_async_16(void* to, const void* from, bool there = true) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_copy(to, from, 16, there ? 16 : 0);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(lathe_ptx::shared_address(to)), "l"(from),
               "r"(there ? 16 : 0)
               : "memory");
#endif
}
/** The first `bytes` of 16; the rest is zeroed. The address is a multiple of 16 all the same. */
__device__ __forceinline__ void cp_async_16_part(void* to, const void* from, int bytes) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_copy(to, from, 16, static_cast<unsigned>(bytes));
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(lathe_ptx::shared_address(to)), "l"(from),
               "r"(bytes)
               : "memory");
#endif
}
/** The same for 4 or 8 bytes, through L1. */
__device__ __forceinline__ void cp_async_8(void* to, const void* from, bool there = true) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_copy(to, from, 8, there ? 8 : 0);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(lathe_ptx::shared_address(to)), "l"(from),
               "r"(there ? 8 : 0)
               : "memory");
#endif
}
__device__ __forceinline__ void cp_async_4(void* to, const void* from, bool there = true) {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_copy(to, from, 4, there ? 4 : 0);
#else
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(lathe_ptx::shared_address(to)), "l"(from),
               "r"(there ? 4 : 0)
               : "memory");
#endif
}

/** What this thread has started since the last one is a group. */
__device__ __forceinline__ void cp_async_commit() {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/** Waits for all groups of this thread but the last `kPending`; other threads see them after a barrier. */
template <int kPending>
__device__ __forceinline__ void cp_async_wait() {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_wait(kPending);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}
__device__ __forceinline__ void cp_async_wait_all() {
#ifdef LATHE_EMULATOR
  ::lathe::emulator::async_wait_all();
#else
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

/** How the L2 cache is to treat weights that are read once: the first to go. For cp_async_16_once. */
__device__ __forceinline__ uint64_t evict_first_policy() {
#ifdef LATHE_EMULATOR
  return 0;
#else
  uint64_t policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  return policy;
#endif
}
__device__ __forceinline__ void cp_async_16_once(void* to, const void* from, bool there, uint64_t policy) {
#ifdef LATHE_EMULATOR
  static_cast<void>(policy);
  ::lathe::emulator::async_copy(to, from, 16, there ? 16 : 0);
#else
  asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2, %3;" ::"r"(lathe_ptx::shared_address(to)),
               "l"(from), "r"(there ? 16 : 0), "l"(policy)
               : "memory");
#endif
}

/** 16 bytes of memory that the kernel only reads, and once: they take no room in L1. */
__device__ __forceinline__ uint4 load_once_16(const void* from) {
#ifdef LATHE_EMULATOR
  return *static_cast<const uint4*>(from);
#else
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(from));
  return value;
#endif
}

/** Byte `i` of four, 128 added to each as a signed one, over 2^23: the float 8388608 + 128 + byte. */
__device__ __forceinline__ float biased_byte(uint32_t flipped, int i) {
  return __uint_as_float(__byte_perm(flipped, 0x4b000000u, 0x7440u | static_cast<unsigned>(i)));
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

/**
 * The same, but what lies beyond bf16's largest number, an infinity too, becomes that: what is left of a float then is as
 * large as it has to be, infinite where the float is, and not a NaN. NaNs stay NaNs.
 */
__device__ __forceinline__ uint32_t pack_bf16_finite(float first, float second) {
#ifdef LATHE_EMULATOR
  auto finite = [](float x) {
    uint32_t bits = __bfloat16_as_ushort(__float2bfloat16_rn(x));
    return (bits & 0x7fffu) == 0x7f80u ? bits - 1 : bits;
  };
  return finite(first) | finite(second) << 16;
#else
  uint32_t packed;
  asm("cvt.rn.satfinite.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(second), "f"(first));
  return packed;
#endif
}
