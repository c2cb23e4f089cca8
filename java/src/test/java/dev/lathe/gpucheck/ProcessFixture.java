package dev.lathe.gpucheck;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Tests of every fate, for {@link TestProcessTest}; their names hide them from everything else. */
final class ProcessFixture {
  private ProcessFixture() {}

  @Tag("cuda")
  static class Mixed {
    @Test
    void passes() {
      System.out.println("{\"begin\": \"what a test prints is no item\"}");
    }

    @Test
    void fails() {
      assertEquals(1, 2);
    }

    @Test
    void skips() {
      assumeTrue(false, "no tea");
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void oneOfThreeFails(int number) {
      assertTrue(number < 3);
    }

    @Test
    @Tag("long")
    void isLong() {}
  }

  @Tag("cuda")
  static class Unprepared {
    @BeforeAll
    static void prepare() {
      assumeTrue(false, "no kettle");
    }

    @Test
    void neverRuns() {}
  }

  @Tag("cuda")
  static class Losing {
    @Test
    void losesCuda() {
      throw new IllegalStateException(
          "CUDA failed: cuCtxSynchronize answered CUDA_ERROR_ILLEGAL_ADDRESS");
    }

    @Test
    void passes() {}
  }

  @Tag("cuda")
  static class Crashing {
    @Test
    void crashes() {
      Runtime.getRuntime().halt(7);
    }

    @Test
    void passes() {}
  }
}
