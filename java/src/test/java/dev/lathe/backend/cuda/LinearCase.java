package dev.lathe.backend.cuda;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.SplittableRandom;

/**
 * A product and what it should give. With a gap, rows of x, out and the weight lie further apart
 * than they are long, and start at odd places; what lies between them in x is NaN.
 */
record LinearCase(
    Format format, int rows, int cols, int tokens, boolean bias, Epilogue epilogue, int gap) {

  /**
   * @param values stored type
   * @param scales null where there are none
   * @param groupSize 0: one group a row
   */
  record Format(DType values, DType scales, int groupSize, boolean asymmetric, boolean bitmap) {
    static Format dense(DType type) {
      return new Format(type, null, 0, false, false);
    }

    static Format int8(DType scales, int groupSize, boolean asymmetric) {
      return new Format(DType.I8, scales, groupSize, asymmetric, false);
    }

    static Format bitmap(DType type) {
      return new Format(type, type == DType.I8 ? DType.BF16 : null, 0, type == DType.I8, true);
    }

    @Override
    public String toString() {
      String name = bitmap ? "bitmap " + values : values.toString();
      return scales == null
          ? name
          : "%s with %s scales by %s%s"
              .formatted(
                  name,
                  scales,
                  groupSize == 0 ? "channel" : groupSize,
                  asymmetric ? " and zero points" : "");
    }
  }

  /**
   * How far sums may be off.
   *
   * @param roundings in units of 2^-24 of the sum of {@code |x||w|}
   * @param rounding with which x times w is rounded before it is added up; 0 where it is not
   */
  record Arithmetic(double roundings, double rounding) {
    /**
     * In fp32: Higham's bound of a dot product (2002, section 3.1) is {@code n u sum |x||w|}; 4
     * more for scaling, bias, adding and storing.
     */
    static Arithmetic fp32(int cols) {
      return new Arithmetic(cols + 4, 0);
    }

    /**
     * By {@code mma.sync} m16n8k16 of 16-bit numbers, which no hardware rounds one by one. Products
     * are exact. On compute capability 8.x, 8 of them and the sum so far are added at once, each
     * cut off 24 bits behind the leading bit of the largest, and the sum is cut off to 24 bits:
     * {@code (9 2^-24 + 2^-23) S = 11 u S}, S being the sum of magnitudes, which is as large as any
     * summand and any sum. Two such are an instruction, 22 u. On 9.0 and later it is 16 products
     * and 25 bits, {@code 17 2^-25 + 2^-23}, less than 11 u; and rounded one by one 16 u. What is
     * zero loses nothing, nor does a sum beside zeros.
     *
     * @param instructions with products that are not zero, one after another in a sum
     * @param others roundings in fp32 after them
     * @see <a href="https://doi.org/10.7717/peerj-cs.330">Fasi, Higham, Mikaitis, Pranesh 2021</a>
     * @see <a href="https://arxiv.org/abs/2403.00232">Li et al. 2024, FTTN</a>
     */
    static Arithmetic tensorCores(int instructions, int others, double rounding) {
      return new Arithmetic(22.0 * instructions + others, rounding);
    }

    double bound(double products, double others) {
      return roundings * 0x1p-24 * (products + others) + rounding * products + 0x1p-126;
    }
  }

  /** On the host. {@code x} and {@code out} are views where there is a gap. */
  record Data(Linear layer, Tensor wholeX, Tensor wholeOut) {}

  static LinearCase of(Format format, int rows, int cols, int tokens) {
    // Each of the eight combinations meets every size of some dimension.
    int n = rows + cols + tokens;
    return new LinearCase(
        format,
        rows,
        cols,
        tokens,
        (n & 1) != 0,
        (n & 2) != 0 ? Epilogue.ADD : Epilogue.STORE,
        (n & 4) != 0 ? 3 : 0);
  }

  LinearCase with(boolean bias, Epilogue epilogue, int gap) {
    return new LinearCase(format, rows, cols, tokens, bias, epilogue, gap);
  }

  LinearCase withTokens(int tokens) {
    return new LinearCase(format, rows, cols, tokens, bias, epilogue, gap);
  }

  Data make(CudaBench bench) {
    // The same x, row by row, for every number of tokens.
    SplittableRandom random = new SplittableRandom(withTokens(0).toString().hashCode());
    Weight weight = weight(bench, random);
    Optional<Tensor> b =
        bias ? Optional.of(fill(bench.host(DType.F32, rows), random)) : Optional.empty();
    Tensor x = bench.host(DType.F32, tokens, cols + 2L * gap);
    Tensor out = bench.host(DType.F32, tokens, rows + 2L * gap);
    for (long t = 0; t < tokens; t++) {
      for (long c = 0; c < x.size(1); c++) {
        boolean inside = c >= gap && c < gap + cols;
        Floats.set(
            x.memory(),
            DType.F32,
            t * x.size(1) + c,
            inside ? (float) random.nextGaussian() : Float.NaN);
      }
      for (long c = 0; c < out.size(1); c++) {
        Floats.set(out.memory(), DType.F32, t * out.size(1) + c, (float) random.nextGaussian());
      }
    }
    return new Data(new Linear(weight, b), x, out);
  }

  Tensor inside(Tensor whole) {
    return whole.columns(gap, whole.size(1) - gap);
  }

  private Weight weight(CudaBench bench, SplittableRandom random) {
    if (format.bitmap) {
      return bitmap(bench, random);
    }
    Tensor values = fill(bench.host(format.values, rows, cols + (long) gap), random);
    Tensor view = values.columns(gap, cols + (long) gap);
    if (format.scales == null) {
      return new Weight.Dense(view);
    }
    long groups = format.groupSize == 0 ? 1 : Math.ceilDiv(cols, format.groupSize);
    return new Weight.Int8(view, scales(bench, random, groups), zeros(bench, random, groups));
  }

  /** The first row is full, the second (if there is one) empty, the others half full. */
  private Weight bitmap(CudaBench bench, SplittableRandom random) {
    Tensor bits = bench.host(DType.U8, rows, Math.ceilDiv(cols, 8L));
    Tensor offsets = bench.host(DType.I64, rows + 1L);
    long kept = 0;
    for (long r = 0; r < rows; r++) {
      for (long c = 0; c < cols; c++) {
        if (r == 0 || (r != 1 && random.nextBoolean())) {
          long at = r * bits.size(1) + c / 8;
          byte old = bits.memory().get(ValueLayout.JAVA_BYTE, at);
          bits.memory().set(ValueLayout.JAVA_BYTE, at, (byte) (old | 1 << (c % 8)));
          kept++;
        }
      }
      offsets.memory().setAtIndex(ValueLayout.JAVA_LONG, r + 1, kept);
    }
    boolean int8 = format.scales != null;
    return new Weight.Bitmap(
        cols,
        bits,
        offsets,
        fill(bench.host(format.values, kept), random),
        int8 ? Optional.of(scales(bench, random, 1)) : Optional.empty(),
        int8 ? zeros(bench, random, 1) : Optional.empty());
  }

  private Tensor scales(CudaBench bench, SplittableRandom random, long groups) {
    Tensor scales = bench.host(format.scales, rows, groups);
    for (long i = 0; i < scales.elements(); i++) {
      Floats.set(scales.memory(), format.scales, i, (float) random.nextDouble(0.002, 0.05));
    }
    return scales;
  }

  private Optional<Tensor> zeros(CudaBench bench, SplittableRandom random, long groups) {
    return format.asymmetric
        ? Optional.of(fill(bench.host(DType.I8, rows, groups), random))
        : Optional.empty();
  }

  private static Tensor fill(Tensor tensor, SplittableRandom random) {
    for (long i = 0; i < tensor.elements(); i++) {
      if (tensor.dtype() == DType.I8) {
        tensor.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
      } else {
        Floats.set(tensor.memory(), tensor.dtype(), i, (float) random.nextGaussian());
      }
    }
    return tensor;
  }

  /** All rows of the output, with what lies between them. */
  Tensor expected(CudaBench bench, Data data) {
    Tensor expected = bench.copy(data.wholeOut);
    try (ReferenceBackend reference = new ReferenceBackend()) {
      reference.linear(inside(expected), inside(data.wholeX), data.layer, epilogue);
    }
    return expected;
  }

  /** The layer on the device; views stay views of as much as there is on the host. */
  Linear up(CudaBench bench, Linear layer) {
    Weight weight =
        switch (layer.weight()) {
          case Weight.Dense dense -> new Weight.Dense(upRows(bench, dense.values()));
          case Weight.Int8 int8 ->
              new Weight.Int8(
                  upRows(bench, int8.values()),
                  bench.up(int8.scales()),
                  int8.zeroPoints().map(bench::up));
          case Weight.Bitmap bitmap ->
              new Weight.Bitmap(
                  bitmap.cols(),
                  bench.up(bitmap.bitmap()),
                  bench.up(bitmap.rowOffsets()),
                  bench.up(bitmap.values()),
                  bitmap.scales().map(bench::up),
                  bitmap.zeroPoints().map(bench::up));
          case Weight.Stacked stacked -> throw new IllegalArgumentException(stacked.format());
        };
    return new Linear(weight, layer.bias().map(bench::up));
  }

  private Tensor upRows(CudaBench bench, Tensor view) {
    Tensor whole = bench.host(view.dtype(), rows, cols + (long) gap);
    long bytes = view.dtype().bytes();
    for (long r = 0; r < rows; r++) {
      whole
          .memory()
          .asSlice((r * whole.size(1) + gap) * bytes, cols * bytes)
          .copyFrom(view.memory().asSlice(r * view.rowStride() * bytes, cols * bytes));
    }
    return bench.up(whole).columns(gap, cols + (long) gap);
  }

  /**
   * Fails where an output is further from the reference than rounding explains, or where anything
   * else changed.
   *
   * @param arithmetic how the kernel computes
   */
  void assertClose(String what, Tensor actual, Tensor expected, Data data, Arithmetic arithmetic) {
    double[] w = new double[cols];
    for (int r = -gap; r < rows + gap; r++) {
      boolean inside = r >= 0 && r < rows;
      if (inside) {
        WeightRows.read(data.layer.weight(), r, w);
      }
      for (int t = 0; t < tokens; t++) {
        long at = t * expected.size(1) + gap + r;
        double bound = inside ? bound(data, w, r, t, arithmetic) : 0;
        double is = CudaBench.at(actual, at);
        double should = CudaBench.at(expected, at);
        if (!(Math.abs(is - should) <= bound)) {
          throw new AssertionError(
              "%s: [%d, %d] is %s, should be %s within %s"
                  .formatted(what, t, r, is, should, bound));
        }
      }
    }
  }

  private double bound(Data data, double[] w, int row, int token, Arithmetic arithmetic) {
    double products = 0;
    for (int c = 0; c < cols; c++) {
      double x = CudaBench.at(data.wholeX, token * data.wholeX.size(1) + gap + c);
      products += Math.abs(x * w[c]);
    }
    double others =
        epilogue == Epilogue.ADD
            ? Math.abs(CudaBench.at(data.wholeOut, token * data.wholeOut.size(1) + gap + row))
            : 0;
    others += bias ? Math.abs(CudaBench.at(data.layer.bias().orElseThrow(), row)) : 0;
    return arithmetic.bound(products, others);
  }

  @Override
  public String toString() {
    return "%s [%d, %d], %d tokens%s%s%s"
        .formatted(
            format,
            rows,
            cols,
            tokens,
            bias ? ", bias" : "",
            epilogue == Epilogue.ADD ? ", added" : "",
            gap > 0 ? ", rows apart" : "");
  }
}
