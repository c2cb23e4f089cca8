package dev.lathe.backend.cpu;

import dev.lathe.backend.Backend;
import dev.lathe.backend.BackendConformance;
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
  final class TwoThreads extends With {
    TwoThreads() {
      super(CpuLibrary.instructionSets().stream().reduce((a, b) -> b).orElseThrow(), 2);
    }
  }
}
