package dev.lathe.backend.cpu;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;
import dev.lathe.backend.LinearChecks;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Weight;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Nested;

/** The whole suite for every instruction set that this machine runs, alone and with two threads. */
final class CpuConformanceTest {
  abstract static class With extends BackendConformance {
    private final InstructionSet set;
    private final int threads;

    With(InstructionSet set, int threads) {
      this.set = set;
      this.threads = threads;
    }

    /**
     * Beside INT8 weights activations are 16-bit integers, of 32767 steps for the largest of each
     * 128 columns: off by half a step. Two roundings beside those of a sum of floats: of the step,
     * and of an integer sum that becomes a float.
     */
    @Override
    protected LinearChecks.Rounding activationRounding(Weight weight, int tokens) {
      return weight instanceof Weight.Int8 int8
              && int8.activations() == ActivationFormat.FLOAT
              && isMultipliedInIntegers(int8)
          ? new LinearChecks.Rounding(0x1p-23, 0.5 / 32767 * (1 + 0x1p-20), 128)
          : LinearChecks.Rounding.NONE;
    }

    /** Groups that are multiples of 16 columns and fit blocks of 128. */
    private static boolean isMultipliedInIntegers(Weight.Int8 weight) {
      long group = weight.groupSize();
      return weight.scales().size(1) == 1
          || group % 128 == 0
          || (group % 16 == 0 && 128 % group == 0);
    }

    /** VNNI multiplies codes by integers, for the heads and pages of int8_attention_impl.h. */
    @Override
    protected double int8AttentionError(
        AttentionShape shape, int pageSize, double largestScore, double largestValue) {
      boolean integers =
          (set == InstructionSet.AVX512BF16 || set == InstructionSet.AVX512VNNI)
              && shape.softCap() == AttentionShape.NO_CAP
              && shape.headDim() % 32 == 0
              && pageSize % 16 == 0;
      return integers ? integerAttention(shape.headDim(), 128, largestScore, largestValue) : 0;
    }

    /**
     * AVX512BF16 multiplies keys and values in BF16 by queries and probabilities of that type, for
     * the heads and pages of bf16_attention_impl.h; Bf16AttentionTest checks it more closely.
     */
    @Override
    protected double attentionRounding(DType cacheType, AttentionShape shape, int pageSize) {
      return set == InstructionSet.AVX512BF16
              && cacheType == DType.BF16
              && shape.softCap() == AttentionShape.NO_CAP
              && shape.headDim() % 32 == 0
              && pageSize % 16 == 0
          ? 0x1p-8
          : 0;
    }

    @Override
    protected Backend open() {
      Assumptions.assumeTrue(
          CpuLibrary.instructionSets().contains(set), "this processor has no " + set);
      return CpuBackend.open(threads, set);
    }
  }

  @Nested
  final class Generic extends With {
    Generic() {
      super(InstructionSet.GENERIC, 1);
    }
  }

  @Nested
  final class Avx2 extends With {
    Avx2() {
      super(InstructionSet.AVX2, 1);
    }
  }

  @Nested
  final class Avx512 extends With {
    Avx512() {
      super(InstructionSet.AVX512, 1);
    }
  }

  @Nested
  final class Avx512Vnni extends With {
    Avx512Vnni() {
      super(InstructionSet.AVX512VNNI, 1);
    }
  }

  @Nested
  final class Avx512Bf16 extends With {
    Avx512Bf16() {
      super(InstructionSet.AVX512BF16, 1);
    }
  }

  @Nested
  final class TwoThreads extends With {
    TwoThreads() {
      super(CpuLibrary.instructionSets().stream().reduce((a, b) -> b).orElseThrow(), 2);
    }
  }
}
