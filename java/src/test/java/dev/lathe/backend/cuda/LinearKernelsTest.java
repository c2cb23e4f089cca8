package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** cuda-kernels/linear_*.cu against double precision, over the shapes where they break. */
@Tag("cuda")
class LinearKernelsTest {
  /** What x as two bf16 of 8 bits each leaves out of it. */
  private static final double TWO_BF16 = 0x1p-18;

  private static final LinearCase.Format GROUPS_OF_16 = LinearCase.Format.int8(DType.F32, 16, true);

  static List<LinearCase.Format> formats() {
    List<LinearCase.Format> formats = new ArrayList<>();
    for (DType type : new DType[] {DType.F32, DType.BF16, DType.F16}) {
      formats.add(LinearCase.Format.dense(type));
      formats.add(LinearCase.Format.bitmap(type));
    }
    formats.add(LinearCase.Format.bitmap(DType.I8));
    formats.add(LinearCase.Format.int8(DType.F32, 0, false));
    formats.add(LinearCase.Format.int8(DType.BF16, 0, true));
    formats.add(GROUPS_OF_16);
    formats.add(LinearCase.Format.int8(DType.BF16, 64, false));
    formats.add(LinearCase.Format.int8(DType.F32, 64, true));
    formats.add(LinearCase.Format.int8(DType.BF16, 5, true)); // ends within 16 bytes
    return formats;
  }

  /** One row, one column, ragged ends of packs, warps and rounds; 1 to 8 tokens. */
  @ParameterizedTest
  @MethodSource("formats")
  void edgeShapes(LinearCase.Format format) {
    int tokens = 0;
    for (int cols : new int[] {1, 7, 8, 15, 16, 17, 64, 172, 257, 1100}) {
      for (int rows : new int[] {1, 2, 37}) {
        tokens = tokens % 9 + 1;
        check(LinearCase.of(format, rows, cols, tokens), order(tokens));
      }
    }
  }

  /** Long enough for several tiles of x, for each number of warps a row. */
  @ParameterizedTest
  @MethodSource("formats")
  void longRows(LinearCase.Format format) {
    for (int tokens : new int[] {1, 2, 4, 7}) {
      check(LinearCase.of(format, 9, 9000, tokens), order(tokens));
    }
    check(LinearCase.of(format, 3, 11999, 5), order(5));
    check(LinearCase.of(format, 2200, 40, 3), order(4));
  }

  @ParameterizedTest
  @MethodSource("formats")
  void manyTokens(LinearCase.Format format) {
    for (int tokens : new int[] {9, 16, 33, 65}) {
      check(LinearCase.of(format, 19, 80, tokens), order(tokens));
      check(LinearCase.of(format, 67, 255, tokens), order(tokens + 1)); // 64 columns a group, or 63
      check(LinearCase.of(format, 130, 1088, tokens), order(tokens + 2)); // more stages than a ring
    }
  }

  /** Stored or added, with and without bias, close or apart, in each order. */
  @ParameterizedTest
  @MethodSource("formats")
  void epiloguesAndViews(LinearCase.Format format) {
    for (int gap : new int[] {0, 4, 5}) {
      for (Epilogue epilogue : Epilogue.values()) {
        for (boolean bias : new boolean[] {false, true}) {
          for (int tokens : new int[] {1, 12}) {
            LinearCase c = LinearCase.of(format, 20, 96, tokens).with(bias, epilogue, gap);
            CudaBench.orders().forEach(order -> check(c, order));
          }
        }
      }
    }
  }

  /** Up to 8 tokens, a token's result is the same bits in any company and wherever rows lie. */
  @ParameterizedTest
  @MethodSource("formats")
  void batchDoesNotChangeARow(LinearCase.Format format) {
    for (int cols : new int[] {172, 4500}) {
      LinearCase together = LinearCase.of(format, 21, cols, 8).with(true, Epilogue.STORE, 0);
      try (CudaBench bench = new CudaBench()) {
        Tensor all = run(bench, together, together.make(bench));
        for (int tokens : new int[] {1, 2, 3, 5}) {
          LinearCase fewer = together.withTokens(tokens);
          Tensor some = run(bench, fewer, fewer.make(bench));
          assertThat(some.memory().mismatch(all.memory().asSlice(0, some.bytes())))
              .as(fewer.toString())
              .isEqualTo(-1);
        }
      }
    }
  }

  /**
   * Infinities stay what they are, NaNs too, and numbers that bf16 can't hold are no infinities:
   * each in a token of its own, on tensor cores and not. Of F16 weights the first row has the
   * largest numbers, an infinity, and the smallest. INT8 is scaled after it was added up: what is
   * as large as that becomes infinite on the way, and is left out.
   */
  @ParameterizedTest
  @MethodSource("formats")
  void extremeNumbers(LinearCase.Format format) {
    float[] extremes = {
      Float.POSITIVE_INFINITY,
      Float.NEGATIVE_INFINITY,
      Float.NaN,
      0x1.ffp127f, // halfway between bf16's largest number and the next, which is none
      -Float.MAX_VALUE,
      0x1.fep127f,
      Float.MIN_VALUE,
      0x1.8p-133f
    };
    for (int tokens : new int[] {8, 12}) {
      for (int cols : new int[] {64, 320}) {
        LinearCase c = LinearCase.of(format, 20, cols, tokens).with(false, Epilogue.STORE, 0);
        try (CudaBench bench = new CudaBench()) {
          LinearCase.Data data = c.make(bench);
          Weight weight = data.layer().weight();
          boolean scaled = c.format().values() == DType.I8;
          for (int t = 0; t < extremes.length; t++) {
            if (scaled && isHuge(extremes[t])) {
              continue;
            }
            long at = (long) t * cols + t * 7L + 1;
            Floats.set(data.wholeX().memory(), DType.F32, at, extremes[t]);
          }
          if (weight instanceof Weight.Dense dense && dense.values().dtype() == DType.F16) {
            float[] first = {65504, Float.POSITIVE_INFINITY, 0x1p-24f, -65472, 0x1p-14f};
            for (int i = 0; i < first.length; i++) {
              Floats.set(dense.values().memory(), DType.F16, 8L * i, first[i]);
            }
          }
          Tensor expected = c.expected(bench, data);
          Tensor actual = run(bench, c, data);
          LinearCase.Arithmetic arithmetic = arithmetic(c, weight);
          double[] w = new double[cols];
          for (int r = 0; r < c.rows(); r++) {
            WeightRows.read(weight, r, w);
            for (int t = 0; t < tokens; t++) {
              if (t < extremes.length && w[t * 7 + 1] == 0) {
                continue; // what is not stored is not multiplied
              }
              double should = CudaBench.at(expected, (long) t * c.rows() + r);
              double is = CudaBench.at(actual, (long) t * c.rows() + r);
              if (t < extremes.length && isHuge(extremes[t]) && Double.isInfinite(should)) {
                continue; // a part of the sum may have been infinite of another sign
              }
              double bound = arithmetic.bound(magnitude(data.wholeX(), t, w), 0);
              boolean same =
                  Double.isFinite(should)
                      ? Math.abs(is - should) <= bound
                      : Double.compare(is, should) == 0;
              assertThat(same)
                  .as("%s: [%d, %d] is %s, should be %s within %s", c, t, r, is, should, bound)
                  .isTrue();
            }
          }
        }
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"linear_tiles, Infinity", "test/tile_infinity_faults, NaN"})
  void canaryInfinityThatIsSplitWrongIsCaught(String module, float expected) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    LinearCase c =
        LinearCase.of(LinearCase.Format.dense(DType.BF16), 1, 64, 9).with(false, Epilogue.STORE, 0);
    try (CudaBench bench = new CudaBench()) {
      LinearCase.Data data = c.make(bench);
      Tensor w = ((Weight.Dense) data.layer().weight()).values();
      float sign = Math.signum((float) CudaBench.at(w, 5));
      Floats.set(data.wholeX().memory(), DType.F32, 5, sign * Float.POSITIVE_INFINITY);
      Tensor out = runDivided(bench, c, data, module, 1);
      assertThat(Float.compare((float) CudaBench.at(out, 0), expected)).isZero();
    }
  }

  private static boolean isHuge(float x) {
    return Math.abs(x) > 1e38 && Float.isFinite(x);
  }

  /** The sum of {@code |x||w|}, without what isn't there. */
  private static double magnitude(Tensor xs, int token, double[] w) {
    double sum = 0;
    for (int i = 0; i < w.length; i++) {
      double x = CudaBench.at(xs, (long) token * w.length + i);
      sum += w[i] == 0 ? 0 : Math.abs(w[i] * x);
    }
    return sum;
  }

  @Test
  void noTokensAreNoWork() {
    LinearCase c = LinearCase.of(LinearCase.Format.dense(DType.BF16), 5, 8, 0);
    try (CudaBench bench = new CudaBench()) {
      assertThat(run(bench, c, c.make(bench)).elements()).isZero();
    }
  }

  /** Formats whose columns can be divided among blocks. */
  static List<LinearCase.Format> tiledFormats() {
    return List.of(
        LinearCase.Format.dense(DType.BF16),
        LinearCase.Format.dense(DType.F16),
        LinearCase.Format.int8(DType.BF16, 0, true),
        LinearCase.Format.int8(DType.F32, 64, true));
  }

  /** Two parts, several, as many as there are stages, and more: the last ones have nothing. */
  @ParameterizedTest
  @MethodSource("tiledFormats")
  void dividedColumnsGiveTheSame(LinearCase.Format format) {
    for (int cols : new int[] {5, 129, 1088, 2100}) {
      for (int splits : new int[] {2, 3, 7, 20}) {
        LinearCase c = LinearCase.of(format, 67, cols, 9 + splits);
        if (format.groupSize() > 0 && cols < 1000) {
          continue; // groups end within what is multiplied before it is scaled
        }
        String order = order(cols + splits);
        CudaBench.setOrder(order);
        try (CudaBench bench = new CudaBench()) {
          LinearCase.Data data = c.make(bench);
          LinearCase.Arithmetic plain = arithmetic(c, data.layer().weight());
          c.assertClose(
              "%s, %d parts: %s".formatted(order, splits, c),
              runDivided(bench, c, data, "linear_tiles", splits),
              c.expected(bench, data),
              data,
              new LinearCase.Arithmetic(plain.roundings() + splits, plain.rounding()));
        } finally {
          CudaBench.setOrder("forward");
        }
      }
    }
  }

  /** The plan divides where a device would be left idle; nobody's turn decides on a bit. */
  @ParameterizedTest
  @MethodSource("tiledFormats")
  void orderOfBlocksDoesNotChangeABit(LinearCase.Format format) {
    assumeTrue(CudaDriver.kind().emulated(), "the order of a real GPU's blocks is its own");
    LinearCase c = LinearCase.of(format, 130, 2100, 20).with(true, Epilogue.ADD, 3);
    Tensor first = null;
    Emulator emulator = new Emulator();
    try (CudaBench bench = new CudaBench()) {
      LinearCase.Data data = c.make(bench);
      TilePlan plan = TilePlan.of(bench.context.limits(), data.layer().weight(), c.tokens());
      assertThat(plan.splits()).isEqualTo(4);
      for (String order : List.of("forward", "reverse", "random:3", "random:4", "parallel")) {
        emulator.setOrder(order);
        Tensor now = run(bench, c, data);
        first = first == null ? now : first;
        assertThat(now.memory().mismatch(first.memory())).as(order).isEqualTo(-1);
      }
    } finally {
      emulator.setOrder("forward");
    }
  }

  @ParameterizedTest
  @CsvSource({
    "0, true, nothing: the control",
    "1, false, the last part is missing",
    "2, false, the bias is added for each part",
    "3, false, the output is replaced where it should be added to",
    "4, false, parts of other tokens are added"
  })
  void canaryPartsThatAreAddedWrongAreCaught(int defect, boolean passes, String what) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    LinearCase c =
        LinearCase.of(LinearCase.Format.dense(DType.BF16), 67, 1100, 11)
            .with(true, Epilogue.ADD, 3);
    try (CudaBench bench = new CudaBench()) {
      LinearCase.Data data = c.make(bench);
      Tensor wholeOut = bench.up(data.wholeOut());
      Tensor out = c.inside(wholeOut);
      Tensor x = c.inside(bench.up(data.wholeX()));
      Linear layer = c.up(bench, data.layer());
      TilePlan plan =
          TilePlan.of(bench.context.limits(), layer.weight(), c.tokens()).with("linear_tiles", 4);
      // What the right kernel leaves, added up once more by the wrong one, onto what was there.
      Tensor partial = bench.device(DType.F32, plan.partialFloats(c.tokens(), c.rows()));
      new LinearKernels(bench.kernels, bench.context.limits(), _ -> partial.address())
          .tiles(plan, c.inside(bench.up(data.wholeOut())), x, layer, c.epilogue());
      bench
          .kernels
          .get("test/linear_faults", "linear_combine_with_defect")
          .pointer(out)
          .i64(out.rowStride())
          .pointer(x)
          .i64(x.rowStride())
          .pointer(layer.bias().orElseThrow())
          .i32(c.tokens())
          .i32(1)
          .pointer(partial)
          .i32(plan.splits())
          .i64(c.rows())
          .i32(defect)
          .launch(1, c.tokens(), 1, 256, 0);
      assertThat(isClose(c, bench, data, bench.down(wholeOut))).as(what).isEqualTo(passes);
    }
  }

  @ParameterizedTest
  @CsvSource({"linear_tiles, true", "test/tile_faults, false"})
  void canaryStageThatIsLeftOutIsCaught(String module, boolean passes) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    for (LinearCase.Format format : tiledFormats()) {
      LinearCase c = LinearCase.of(format, 67, 1088, 11);
      try (CudaBench bench = new CudaBench()) {
        LinearCase.Data data = c.make(bench);
        Tensor out = runDivided(bench, c, data, module, 3);
        assertThat(isClose(c, bench, data, out)).as(c.toString()).isEqualTo(passes);
      }
    }
  }

  private static boolean isClose(
      LinearCase c, CudaBench bench, LinearCase.Data data, Tensor actual) {
    try {
      c.assertClose(
          c.toString(),
          actual,
          c.expected(bench, data),
          data,
          arithmetic(c, data.layer().weight()));
      return true;
    } catch (AssertionError e) {
      return false;
    }
  }

  private static Tensor runDivided(
      CudaBench bench, LinearCase c, LinearCase.Data data, String module, int splits) {
    Tensor out = bench.up(data.wholeOut());
    Tensor x = c.inside(bench.up(data.wholeX()));
    Linear layer = c.up(bench, data.layer());
    TilePlan plan = TilePlan.of(bench.context.limits(), layer.weight(), c.tokens());
    bench.linearKernels().tiles(plan.with(module, splits), c.inside(out), x, layer, c.epilogue());
    return bench.down(out);
  }

  /** Planted mistakes, by their number in cuda-kernels/test/linear_faults.cu. */
  @ParameterizedTest
  @CsvSource({
    "1, the last column is missed",
    "2, a row is scaled by the next one's scale",
    "3, all groups are scaled by the first one's scale",
    "4, the bias is added twice",
    "5, zero points are ignored",
    "6, the output is replaced where it should be added to",
    "7, the last column counts twice",
    "8, every token is the first",
    "9, x is rounded to one bf16, not to two"
  })
  void canaryAMistakeIsCaught(int defect, String what) {
    assumeTrue(CudaDriver.kind().emulated(), "the wrong kernel is built for the emulated GPU only");
    for (int cols : new int[] {17, 96, 1100}) {
      LinearCase c = LinearCase.of(GROUPS_OF_16, 20, cols, 3).with(true, Epilogue.ADD, 3);
      assertThat(isCaught(c, 0)).as("control, " + c).isFalse();
      assertThat(isCaught(c, defect)).as(what + ", " + c).isTrue();
    }
  }

  private static boolean isCaught(LinearCase c, int defect) {
    try (CudaBench bench = new CudaBench()) {
      LinearCase.Data data = c.make(bench);
      Linear layer = c.up(bench, data.layer());
      Weight.Int8 weight = (Weight.Int8) layer.weight();
      Tensor out = bench.up(data.wholeOut());
      Tensor x = c.inside(bench.up(data.wholeX()));
      bench
          .kernels
          .get("test/linear_faults", "linear_int8_with_defect")
          .pointer(c.inside(out))
          .i64(out.rowStride())
          .pointer(x)
          .i64(x.rowStride())
          .pointer(layer.bias().orElseThrow())
          .i32(c.tokens())
          .i32(c.epilogue() == Epilogue.ADD ? 1 : 0)
          .pointer(weight.values())
          .i64(weight.values().rowStride())
          .pointer(weight.scales())
          .pointer(weight.zeroPoints().orElseThrow())
          .i32(0)
          .i32((int) weight.scales().size(1))
          .i32((int) weight.groupSize())
          .i64(c.rows())
          .i32(c.cols())
          .i32(defect)
          .launch(1, 1, 1, 32, 0);
      try {
        // As much as is allowed on tensor cores.
        c.assertClose(
            c.toString(),
            bench.down(out),
            c.expected(bench, data),
            data,
            new LinearCase.Arithmetic(c.cols() + 4, TWO_BF16));
        return false;
      } catch (AssertionError e) {
        return true;
      }
    }
  }

  private static String order(int n) {
    return CudaBench.orders().get(n % CudaBench.orders().size());
  }

  private static void check(LinearCase c, String order) {
    CudaBench.setOrder(order);
    try (CudaBench bench = new CudaBench()) {
      LinearCase.Data data = c.make(bench);
      c.assertClose(
          order + ": " + c,
          run(bench, c, data),
          c.expected(bench, data),
          data,
          arithmetic(c, data.layer().weight()));
    } finally {
      CudaBench.setOrder("forward");
    }
  }

  /**
   * With more than 8 tokens, x is two bf16, each an instruction; and the product of what f16 and x
   * have in their lower parts, 2^-9 of each, is left out. Four warps share a row's columns: 16 of
   * BF16 and F16 or of INT8 at a time, two or four times a stage of 128 or 256. Their four sums,
   * groups of INT8 a stage, parts of columns, of which there are no more than stages, and what the
   * epilogue does are added in fp32.
   */
  private static LinearCase.Arithmetic arithmetic(LinearCase c, Weight weight) {
    boolean tensorCores =
        c.tokens() > LinearKernels.PASS_ROWS
            && switch (weight) {
              case Weight.Dense dense -> dense.values().dtype() != DType.F32;
              case Weight.Int8 int8 -> int8.scales().size(1) == 1 || int8.groupSize() % 64 == 0;
              default -> false;
            };
    if (!tensorCores) {
      return LinearCase.Arithmetic.fp32(c.cols());
    }
    int steps = weight instanceof Weight.Int8 ? 4 : 2;
    int stages = Math.ceilDiv(c.cols(), 64 * steps);
    boolean f16 = c.format().values() == DType.F16;
    return LinearCase.Arithmetic.tensorCores(
        (f16 ? 3 : 2) * Math.min(c.cols(), steps * stages),
        2 * stages + 8,
        f16 ? 2 * TWO_BF16 : TWO_BF16);
  }

  private static Tensor run(CudaBench bench, LinearCase c, LinearCase.Data data) {
    Tensor out = bench.up(data.wholeOut());
    Tensor x = bench.up(data.wholeX());
    bench
        .linearKernels()
        .linear(c.inside(out), c.inside(x), c.up(bench, data.layer()), c.epilogue());
    return bench.down(out);
  }
}
