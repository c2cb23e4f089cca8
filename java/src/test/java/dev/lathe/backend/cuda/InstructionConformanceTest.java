package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Every instruction of cuda-kernels/common/ptx.cuh, on whatever device there is, against what the
 * PTX ISA says that it does. An emulator and a kernel that share a mistake agree with each other;
 * this shows that neither makes it, and on a real GPU that the definitions were read right.
 */
@Tag("cuda")
class InstructionConformanceTest {
  private static final int LANES = 32;
  private static final int[] PAIRS = {0b0100, 0b1000, 0b1100, 0b1001, 0b1101, 0b1110};

  /** What a kernel got and gave: registers of each lane. */
  private record Case(
      Fragments map, String type, int selector, int[] a, int[] b, int[] meta, int[] c) {

    static Case random(Fragments map, String type, int selector, long seed) {
      Random random = new Random(seed);
      int[] meta = random.ints(LANES).toArray(); // lanes that the selector leaves out hold anything
      for (int row = 0; map.sparse() && row < 16; row++) {
        for (int chunk = 0; chunk < map.depth / 4; chunk++) {
          int lane = map.metadataLane(row, chunk, selector);
          int bit = map.metadataBit(row, chunk);
          meta[lane] = (meta[lane] & ~(15 << bit)) | (PAIRS[random.nextInt(PAIRS.length)] << bit);
        }
      }
      int[] c = new int[4 * LANES];
      for (int i = 0; i < c.length; i++) {
        c[i] =
            isByte(type)
                ? random.nextInt()
                : Float.floatToRawIntBits((float) random.nextGaussian());
      }
      return new Case(
          map, type, selector, registers(random, type), registers(random, type), meta, c);
    }

    private static int[] registers(Random random, String type) {
      int[] registers = new int[4 * LANES];
      for (int i = 0; i < registers.length; i++) {
        registers[i] =
            isByte(type) ? random.nextInt() : narrow(type, random) | (narrow(type, random) << 16);
      }
      return registers;
    }

    private static int narrow(String type, Random random) {
      float value = (float) random.nextGaussian();
      return type.equals("f16")
          ? Float.floatToFloat16(value) & 0xffff
          : Float.floatToRawIntBits(value) >>> 16;
    }

    private static boolean isByte(String type) {
      return type.endsWith("s8");
    }

    boolean isByte() {
      return isByte(type);
    }

    double value(int[] registers, int lane, int i, boolean isA) {
      int perRegister = isByte() ? 4 : 2;
      int bits = registers[4 * lane + i / perRegister] >>> (32 / perRegister * (i % perRegister));
      return switch (type) {
        case "s8" -> (byte) bits;
        case "u8s8" -> isA ? bits & 0xff : (byte) bits;
        case "f16" -> Float.float16ToFloat((short) bits);
        default -> Float.intBitsToFloat(bits << 16);
      };
    }

    /** A as the instruction multiplies it: [16, depth]. */
    double[][] matrixA() {
      double[][] matrix = new double[16][map.depth];
      for (int lane = 0; lane < LANES; lane++) {
        for (int i = 0; i < map.ofA; i++) {
          int row = map.rowOfA(lane / 4, i);
          int column = map.columnOfA(lane % 4, i);
          if (map.sparse()) {
            int indices =
                meta[map.metadataLane(row, column / 4, selector)]
                    >>> map.metadataBit(row, column / 4);
            column = column / 4 * 4 + (indices >>> (i % 2 == 0 ? 0 : 2) & 3);
          }
          matrix[row][column] = value(a, lane, i, true);
        }
      }
      return matrix;
    }

    /** [depth, 8]. */
    double[][] matrixB() {
      double[][] matrix = new double[map.depth][8];
      for (int lane = 0; lane < LANES; lane++) {
        for (int i = 0; i < map.ofB; i++) {
          matrix[map.rowOfB(lane % 4, i)][Fragments.columnOfB(lane / 4)] = value(b, lane, i, false);
        }
      }
      return matrix;
    }

    /** Holds what came out against A B + C. */
    void check(int[] out) {
      double[][] left = matrixA();
      double[][] right = matrixB();
      for (int lane = 0; lane < LANES; lane++) {
        for (int i = 0; i < 4; i++) {
          int row = Fragments.rowOfC(lane / 4, i);
          int column = Fragments.columnOfC(lane % 4, i);
          int before = c[4 * lane + i];
          double sum = isByte() ? before : Float.intBitsToFloat(before);
          double magnitude = Math.abs(sum);
          for (int k = 0; k < map.depth; k++) {
            sum += left[row][k] * right[k][column];
            magnitude += Math.abs(left[row][k] * right[k][column]);
          }
          int actual = out[4 * lane + i];
          if (isByte()) {
            assertThat(actual).as("lane %d, element %d", lane, i).isEqualTo((int) (long) sum);
          } else {
            // Each of depth sums may be cut off at 24 bits of the largest summand.
            assertThat((double) Float.intBitsToFloat(actual))
                .as("lane %d, element %d", lane, i)
                .isCloseTo(sum, within((map.depth + 1) * 0x1p-23 * magnitude));
          }
        }
      }
    }

    private static org.assertj.core.data.Offset<Double> within(double tolerance) {
      return org.assertj.core.data.Offset.offset(tolerance);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "mma_m16n8k16_f16, HALF_K16, f16, 0",
    "mma_m16n8k16_bf16, HALF_K16, bf16, 0",
    "mma_m16n8k8_f16, HALF_K8, f16, 0",
    "mma_m16n8k8_bf16, HALF_K8, bf16, 0",
    "mma_m16n8k32_s8_, BYTE_K32, s8, 0",
    "mma_m16n8k32_u8s8_, BYTE_K32, u8s8, 0",
    "mma_m16n8k16_s8_, BYTE_K16, s8, 0",
    "mma_sp_m16n8k32_f16_0, SPARSE_HALF_K32, f16, 0",
    "mma_sp_m16n8k32_f16_1, SPARSE_HALF_K32, f16, 1",
    "mma_sp_m16n8k32_bf16_0, SPARSE_HALF_K32, bf16, 0",
    "mma_sp_m16n8k32_bf16_1, SPARSE_HALF_K32, bf16, 1",
    "mma_sp_m16n8k64_s8_, SPARSE_BYTE_K64, s8, 0",
  })
  void mmaMultipliesWhatTheLanesHold(String kernel, Fragments map, String type, int selector) {
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        for (long seed = 1; seed <= 3; seed++) {
          Case one = Case.random(map, type, selector, seed);
          one.check(run(bench, kernel, one));
        }
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  /** A map that is wrong in two elements of a lane is seen, and so is the other thread pair. */
  @Test
  void canaryAnotherMapIsCaught() {
    try (CudaBench bench = new CudaBench()) {
      Case right = Case.random(Fragments.HALF_K16, "f16", 0, 5);
      int[] out = run(bench, "mma_m16n8k16_f16", right);
      int[] swapped = right.a().clone();
      swapped[1] = right.a()[2];
      swapped[2] = right.a()[1];
      Case wrong = new Case(right.map(), "f16", 0, swapped, right.b(), right.meta(), right.c());
      assertThatThrownBy(() -> wrong.check(out)).isInstanceOf(AssertionError.class);

      Case sparse = Case.random(Fragments.SPARSE_HALF_K32, "f16", 0, 5);
      int[] other = run(bench, "mma_sp_m16n8k32_f16_1", withAllMetadata(sparse));
      assertThatThrownBy(() -> sparse.check(other)).isInstanceOf(AssertionError.class);

      Case bytes = Case.random(Fragments.SPARSE_BYTE_K64, "s8", 0, 5);
      int[] mixed = run(bench, "mma_sp_m16n8k64_s8_", withMiddleLanesSwapped(bytes));
      assertThatThrownBy(() -> bytes.check(mixed)).isInstanceOf(AssertionError.class);
    }
  }

  /** The same, with pairs that can be read by either selector. */
  private static Case withAllMetadata(Case sparse) {
    int[] meta = sparse.meta().clone();
    for (int lane = 0; lane < LANES; lane++) {
      if (lane % 4 >= 2) {
        meta[lane] = 0x44444444;
      }
    }
    return new Case(sparse.map(), sparse.type(), 0, sparse.a(), sparse.b(), meta, sparse.c());
  }

  /** Metadata as if a row's two words were side by side. */
  private static Case withMiddleLanesSwapped(Case sparse) {
    int[] meta = sparse.meta().clone();
    for (int lane = 1; lane < LANES; lane += 4) {
      meta[lane] = sparse.meta()[lane + 1];
      meta[lane + 1] = sparse.meta()[lane];
    }
    return new Case(sparse.map(), sparse.type(), 0, sparse.a(), sparse.b(), meta, sparse.c());
  }

  private static int[] run(CudaBench bench, String kernel, Case one) {
    Tensor out = bench.up(bench.integers(one.c().clone()));
    bench
        .kernels
        .get("test/conformance", kernel)
        .pointer(out)
        .pointer(bench.up(bench.integers(one.a())))
        .pointer(bench.up(bench.integers(one.b())))
        .pointer(bench.up(bench.integers(one.meta())))
        .launch(1, 1, 1, LANES, 0);
    return bench.downIntegers(out);
  }

  /**
   * Section 9.7.14.5.15: thread T gets of matrix m the pair in row T / 4, columns 2 (T % 4) and one
   * more.
   */
  @Test
  void ldmatrixDistributesRows() {
    int[] halves =
        new Random(3).ints(8 * LANES, 0, 0x10000).toArray(); // [matrix 4][row 8][column 8]
    try (CudaBench bench = new CudaBench()) {
      Tensor rows = bench.host(DType.F16, 8L * LANES);
      for (int i = 0; i < halves.length; i++) {
        rows.memory().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) halves[i]);
      }
      Tensor out = bench.up(bench.integers(new int[6 * LANES * 4]));
      bench
          .kernels
          .get("test/conformance", "ldmatrix_all")
          .pointer(out)
          .pointer(bench.up(rows))
          .launch(1, 1, 1, LANES, 0);
      int[] actual = bench.downIntegers(out);
      for (int form = 0; form < 6; form++) {
        int matrices = 1 << (form / 2);
        for (int lane = 0; lane < LANES; lane++) {
          for (int m = 0; m < matrices; m++) {
            int row = lane / 4;
            int column = lane % 4 * 2;
            int low = halves[64 * m + (form % 2 == 0 ? 8 * row + column : 8 * column + row)];
            int high =
                halves[64 * m + (form % 2 == 0 ? 8 * row + column + 1 : 8 * (column + 1) + row)];
            assertThat(actual[(form * LANES + lane) * 4 + m])
                .as("form %d, lane %d, matrix %d", form, lane, m)
                .isEqualTo(low | (high << 16));
          }
        }
      }
    }
  }

  @Test
  void copiesArriveByTheirWait() {
    int[] words = new Random(4).ints(4 * LANES).toArray();
    for (String order : CudaBench.orders()) {
      CudaBench.setOrder(order);
      try (CudaBench bench = new CudaBench()) {
        Tensor out = bench.device(DType.I32, 6L * 4 * LANES);
        bench
            .kernels
            .get("test/conformance", "cp_async_all")
            .pointer(out)
            .pointer(bench.up(bench.integers(words)))
            .launch(1, 1, 1, LANES, 0);
        int[] actual = bench.downIntegers(out);
        for (int lane = 0; lane < LANES; lane++) {
          for (int i = 0; i < 4; i++) {
            int word = words[4 * lane + i];
            int mirrored = words[4 * (31 - lane) + i];
            int[] expected = {
              i == 0 ? mirrored ^ word : mirrored,
              0,
              i <= lane % 4 ? word : 0,
              i < 2 || lane % 2 == 0 ? word : 0,
              i != lane % 4 ? word : 0,
              word
            };
            for (int part = 0; part < expected.length; part++) {
              assertThat(actual[(part * LANES + lane) * 4 + i])
                  .as("part %d, lane %d, word %d", part, lane, i)
                  .isEqualTo(expected[part]);
            }
          }
        }
      } finally {
        CudaBench.setOrder("forward");
      }
    }
  }

  /** Canaries of the emulated GPU: copies that nobody waits for are found in every order. */
  @ParameterizedTest
  @CsvSource({
    "cp_async_without_wait, 32, uninitialized read of 16 bytes",
    "cp_async_waits_too_little, 32, uninitialized read of 16 bytes",
    "cp_async_without_barrier, 64, race in shared memory",
    "cp_async_past_the_end, 32, out-of-bounds read of 16 bytes",
  })
  void canaryWrongCopiesAreCaughtAndNamed(String kernel, int threads, String report) {
    Emulator emulator = CheckedEmulator.fresh();
    for (String order : new String[] {"forward", "reverse", "random:1", "random:2"}) {
      emulator.setOrder(order);
      emulator.clearReport();
      try (TestDevice device = new TestDevice()) {
        int result =
            device.run(
                device.function("test/conformance", kernel),
                1,
                threads,
                0,
                jcuda.Pointer.to(device.allocate(16L * LANES)),
                jcuda.Pointer.to(device.upload(new float[4 * LANES])));
        assertThat(result).isNotZero();
        assertThat(emulator.lastReport())
            .contains("kernel " + kernel + ", block (0,0,0), thread (")
            .contains(report)
            .endsWith("[order " + order + "]");
      }
    }
    emulator.setOrder("forward");
  }
}
