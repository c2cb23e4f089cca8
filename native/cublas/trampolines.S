/* Every function of cublas_api.def, each a jump through a slot. A slot leads to lathe_cublas_resolve first, which puts
 * the function of the cuBLAS that was found into it; registers that carry arguments come through unchanged.
 */
#define LATHE_CUBLAS_FUNCTION(NAME)             \
  .pushsection .data.lathe_cublas_slots, "aw" ; \
  slot_##NAME: .quad resolve_##NAME           ; \
  .popsection                                 ; \
  .globl NAME                                 ; \
  .type NAME, @function                       ; \
  NAME: jmp *slot_##NAME(%rip)                ; \
  .size NAME, . - NAME                        ; \
  resolve_##NAME: lea slot_##NAME(%rip), %r11 ; \
  jmp resolve

  .pushsection .data.lathe_cublas_slots, "aw"
  .balign 8
  .globl lathe_cublas_slots
  .hidden lathe_cublas_slots
lathe_cublas_slots:
  .popsection

  .text
resolve:
  push %rdi
  push %rsi
  push %rdx
  push %rcx
  push %r8
  push %r9
  push %rax
  push %r11
  sub $136, %rsp
  movaps %xmm0, 0(%rsp)
  movaps %xmm1, 16(%rsp)
  movaps %xmm2, 32(%rsp)
  movaps %xmm3, 48(%rsp)
  movaps %xmm4, 64(%rsp)
  movaps %xmm5, 80(%rsp)
  movaps %xmm6, 96(%rsp)
  movaps %xmm7, 112(%rsp)
  mov %r11, %rdi
  call lathe_cublas_resolve
  movaps 0(%rsp), %xmm0
  movaps 16(%rsp), %xmm1
  movaps 32(%rsp), %xmm2
  movaps 48(%rsp), %xmm3
  movaps 64(%rsp), %xmm4
  movaps 80(%rsp), %xmm5
  movaps 96(%rsp), %xmm6
  movaps 112(%rsp), %xmm7
  add $136, %rsp
  mov %rax, %r11
  pop %rax                      /* the slot's address, which nobody needs any more */
  pop %rax
  pop %r9
  pop %r8
  pop %rcx
  pop %rdx
  pop %rsi
  pop %rdi
  jmp *%r11

/* What a function that was not found becomes: CUBLAS_STATUS_NOT_SUPPORTED, and NaN where a number was expected. */
  .globl lathe_cublas_missing
  .hidden lathe_cublas_missing
  .type lathe_cublas_missing, @function
lathe_cublas_missing:
  pcmpeqd %xmm0, %xmm0
  mov $15, %eax
  ret
  .size lathe_cublas_missing, . - lathe_cublas_missing

#include "cublas_api.def"

  .section .note.GNU-stack, "", @progbits
