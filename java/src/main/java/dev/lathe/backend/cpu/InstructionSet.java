package dev.lathe.backend.cpu;

import java.util.Locale;

/** What the native kernels are compiled for; the numbers are the bits of {@code lathe_cpu.h}. */
public enum InstructionSet {
  GENERIC(1),
  AVX2(2),
  AVX512(4),
  AVX512VNNI(8),
  /** Rounds queries and probabilities of single tokens beside keys and values in BF16. */
  AVX512BF16(16);

  final int bit;

  InstructionSet(int bit) {
    this.bit = bit;
  }

  /** Whether there are instructions for products of 8-bit integers that are summed in 32. */
  boolean multipliesBytes() {
    return bit >= AVX512VNNI.bit;
  }

  static InstructionSet ofBit(int bit) {
    for (InstructionSet set : values()) {
      if (set.bit == bit) {
        return set;
      }
    }
    throw new IllegalArgumentException("no instruction set has the bit " + bit);
  }

  /** As reports and {@code LATHE_CPU_ISA} write it. */
  @Override
  public String toString() {
    return name().toLowerCase(Locale.ROOT);
  }
}
