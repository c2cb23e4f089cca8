package dev.lathe.backend.cuda;

import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.backend.TokenQuantization;
import dev.lathe.error.LatheException;
import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.function.LongConsumer;
import tools.jackson.databind.JsonNode;

/**
 * Linear layers on the shapes of scripts/peers/shapes.json, each format in turns with cuBLAS in
 * BF16, which is what a compressed format has to beat. A layer is checked before it is timed.
 */
final class LinearBench {
  /** Rows of weights that are made; they are repeated until a weight is full. */
  private static final int BLOCK_ROWS = 32;

  /** Beyond this own kernels of these formats are not for: cuBLAS multiplies what they widen. */
  private static final int FEW_TOKENS = 64;

  /** From here on W8A8, for which activations are quantized, is asked for. */
  private static final int MANY_TOKENS = 16;

  /** What is made of a weight: rows of so many columns, on the host. */
  interface Block {
    Weight of(RowTensors tensors, int columns);
  }

  record Format(String bench, String arithmetic, int mostTokens, Block make) {}

  static final Format BF16 =
      new Format(
          "linear_bf16", "bf16", Integer.MAX_VALUE, (t, k) -> t.dense(DType.BF16, BLOCK_ROWS, k));
  static final Format W8A16 =
      new Format(
          "linear_w8a16", "bf16", FEW_TOKENS, (t, k) -> t.int8(DType.F32, false, k, BLOCK_ROWS, k));
  static final Format F32 =
      new Format("linear_f32", "f32", FEW_TOKENS, (t, k) -> t.dense(DType.F32, BLOCK_ROWS, k));
  static final Format BITMAP =
      new Format(
          "linear_bitmap_bf16",
          "bf16",
          FEW_TOKENS,
          (t, k) -> t.bitmap(DType.BF16, DType.F32, false, 0.5, BLOCK_ROWS, k));
  private static final String W8A8 = "linear_w8a8";

  private final Items items;
  private final boolean tiny;
  private final Optional<String> noCublas;

  /**
   * @param noCublas why cuBLAS can't be timed; empty where it can
   */
  LinearBench(Items items, boolean tiny, Optional<String> noCublas) {
    this.items = items;
    this.tiny = tiny;
    this.noCublas = noCublas;
  }

  /**
   * @param asked only what the project has a target for, or only the rest
   */
  void run(boolean asked) {
    for (JsonNode node : BenchLines.shapes("linear", tiny)) {
      Shape shape = Shape.of(node);
      for (Format format : List.of(W8A16, BF16, F32, BITMAP)) {
        boolean target = format.equals(W8A16) && node.path("asked").asString("").equals("w8a16");
        if (shape.tokens <= format.mostTokens && target == asked) {
          items.run(format.bench + " " + shape.name(), () -> weightOnly(shape, format));
        }
      }
      boolean target = node.path("asked").asString("").equals("w8a8");
      if ((shape.tokens >= MANY_TOKENS || tiny) && target == asked) {
        items.run(W8A8 + " " + shape.name(), () -> w8a8(shape));
      }
    }
  }

  private record Shape(int tokens, int outputs, int inputs) {
    static Shape of(JsonNode node) {
      return new Shape(
          node.get("tokens").intValue(),
          node.get("outputs").intValue(),
          node.get("inputs").intValue());
    }

    String name() {
      return "%d x %d x %d".formatted(tokens, outputs, inputs);
    }

    long flops() {
      return 2L * tokens * outputs * inputs;
    }

    /** Activations, weights and results of so many bytes each. */
    long bytes(int activation, int weight, int result) {
      return (long) tokens * inputs * activation
          + (long) outputs * inputs * weight
          + (long) tokens * outputs * result;
    }
  }

  private void weightOnly(Shape shape, Format format) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, items, tiny);
      RowTensors tensors = new RowTensors(bench, shape);
      Weight block = format.make.of(tensors, shape.inputs);
      int repeats = shape.outputs / BLOCK_ROWS;
      int copies = lines.copies(block.bytes() * repeats);
      List<Linear> layers = new ArrayList<>();
      for (int i = 0; i < copies; i++) {
        layers.add(Linear.of(BenchData.repeated(bench, block, repeats)));
      }
      Tensor x = BenchData.random(bench, DType.F32, 1, shape.tokens, shape.inputs);
      Tensor result = bench.device(DType.F32, shape.tokens, shape.outputs);
      LinearKernels kernels = bench.linearKernels();
      kernels.linear(result, x, layers.getLast(), Epilogue.STORE);
      check(format.bench, bench.down(result), bench.down(x), block);
      List<BenchLines.Side> sides = new ArrayList<>();
      sides.add(
          new BenchLines.Side(
              format.bench,
              "lathe",
              copies,
              layers.getFirst().bytes() + 4L * shape.tokens * (shape.inputs + shape.outputs),
              shape.flops(),
              format.arithmetic,
              i -> kernels.linear(result, x, layers.get((int) i), Epilogue.STORE)));
      time(bench, lines, shape, sides, false);
    }
  }

  /** INT8 by INT8 into scaled F32: with x quantized before, and with that as part of it. */
  private void w8a8(Shape shape) {
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines = new BenchLines(bench.context, items, tiny);
      int copies = lines.copies((long) shape.outputs * shape.inputs);
      List<Int8Rows> weights = new ArrayList<>();
      Tensor scales = BenchData.random(bench, DType.F32, 2, shape.outputs);
      for (int i = 0; i < copies; i++) {
        Tensor codes = BenchData.random(bench, DType.I8, i, shape.outputs, shape.inputs);
        weights.add(new Int8Rows(codes, scales));
      }
      Tensor x = BenchData.random(bench, DType.F32, 1, shape.tokens, shape.inputs);
      Int8Rows quantized =
          new Int8Rows(
              bench.device(DType.I8, shape.tokens, shape.inputs),
              bench.device(DType.F32, shape.tokens));
      Tensor result = bench.device(DType.F32, shape.tokens, shape.outputs);
      GemmW8A8 gemm = new GemmW8A8(bench.kernels, bench.context.limits());
      QuantizeKernels quantize = new QuantizeKernels(bench.kernels, bench.context.limits());
      long workspaceBytes = gemm.workspaceBytes(shape.tokens, shape.outputs, shape.inputs);
      long workspace = bench.device(DType.U8, Math.max(4, workspaceBytes)).address();
      LongConsumer multiply =
          i ->
              gemm.multiply(
                  result,
                  quantized,
                  weights.get((int) i),
                  Optional.empty(),
                  Epilogue.STORE,
                  workspace);
      quantize.quantizeRows(quantized, x);
      multiply.accept(0);
      checkW8A8(bench, result, x, quantized, weights.getFirst());
      List<BenchLines.Side> sides = new ArrayList<>();
      sides.add(
          new BenchLines.Side(
              W8A8, "lathe", copies, shape.bytes(1, 1, 4), shape.flops(), "int8", multiply));
      sides.add(
          new BenchLines.Side(
              W8A8 + "_layer",
              "lathe",
              copies,
              shape.bytes(4, 1, 4),
              shape.flops(),
              "int8",
              i -> {
                quantize.quantizeRows(quantized, x);
                multiply.accept(i);
              }));
      time(bench, lines, shape, sides, true);
    }
  }

  /** In turns with cuBLAS in BF16, and in INT8 if that is asked for. */
  private void time(
      CudaBench bench, BenchLines lines, Shape shape, List<BenchLines.Side> ours, boolean int8) {
    List<BenchLines.Side> sides = new ArrayList<>(ours);
    if (noCublas.isPresent()) {
      lines.cannot("linear_bf16", shape.name(), "cublas", noCublas.get());
      lines.time(shape.name(), sides);
      return;
    }
    try (BenchGemm gemm = new BenchGemm(bench)) {
      cublas(bench, lines, gemm, shape, "linear_bf16", DType.BF16).ifPresent(sides::add);
      if (int8) {
        cublas(bench, lines, gemm, shape, W8A8, DType.I8).ifPresent(sides::add);
      }
      lines.time(shape.name(), sides);
    }
  }

  /** Empty, and said so, where cuBLAS refuses the shape. */
  private static Optional<BenchLines.Side> cublas(
      CudaBench bench, BenchLines lines, BenchGemm gemm, Shape shape, String name, DType type) {
    int bytes = type.bytes();
    DType to = BenchGemm.result(type);
    int copies = lines.copies((long) shape.outputs * shape.inputs * bytes);
    List<Tensor> weights = new ArrayList<>();
    for (int i = 0; i < copies; i++) {
      weights.add(BenchData.random(bench, type, i, shape.outputs, shape.inputs));
    }
    Tensor x = BenchData.random(bench, type, 1, shape.tokens, shape.inputs);
    Tensor out = bench.device(to, shape.tokens, shape.outputs);
    try {
      gemm.multiply(out, x, weights.getFirst());
    } catch (LatheException e) {
      lines.cannot(name, shape.name(), "cublas", String.valueOf(e.getMessage()));
      return Optional.empty();
    }
    return Optional.of(
        new BenchLines.Side(
            name,
            "cublas",
            copies,
            shape.bytes(bytes, bytes, to.bytes()),
            shape.flops(),
            type == DType.I8 ? "int8" : "bf16",
            i -> gemm.multiply(out, x, weights.get((int) i))));
  }

  /** Some of the results, against sums in double precision. */
  private static void check(String what, Tensor result, Tensor x, Weight block) {
    SplittableRandom random = new SplittableRandom(1);
    int inputs = (int) x.size(1);
    double[] weights = new double[inputs];
    for (int i = 0; i < 20; i++) {
      long token = random.nextLong(x.size(0));
      long output = random.nextLong(result.size(1));
      WeightRows.read(block, output % BLOCK_ROWS, weights);
      double sum = 0;
      double magnitude = 0;
      for (int c = 0; c < inputs; c++) {
        double product = weights[c] * CudaBench.at(x, token * inputs + c);
        sum += product;
        magnitude += Math.abs(product);
      }
      // A sum of that many terms; activations may have been rounded to BF16.
      double bound = magnitude * ((inputs + 4) * RowTensors.U + 0x1p-8);
      require(
          what, token, output, CudaBench.at(result, token * result.size(1) + output), sum, bound);
    }
  }

  /**
   * Some of the results: codes are the definition's, integer sums are exact, and each scale rounds
   * once.
   */
  private static void checkW8A8(
      CudaBench bench, Tensor result, Tensor x, Int8Rows quantized, Int8Rows weights) {
    Tensor down = bench.down(result);
    Tensor xs = bench.down(x);
    Tensor codes = bench.down(quantized.codes());
    Tensor tokenScales = bench.down(quantized.scales());
    Tensor ws = bench.down(weights.codes());
    Tensor wScales = bench.down(weights.scales());
    SplittableRandom random = new SplittableRandom(1);
    long inputs = x.size(1);
    for (int i = 0; i < 20; i++) {
      long token = random.nextLong(x.size(0));
      long output = random.nextLong(result.size(1));
      TokenQuantization expected = TokenQuantization.of(xs, token);
      require(
          W8A8 + " scale", token, output, CudaBench.at(tokenScales, token), expected.scale(), 0);
      int sum = 0;
      for (int c = 0; c < inputs; c++) {
        int code = expected.codes()[c];
        require(
            W8A8 + " code",
            token,
            c,
            codes.memory().get(ValueLayout.JAVA_BYTE, token * inputs + c),
            code,
            0);
        sum += code * ws.memory().get(ValueLayout.JAVA_BYTE, output * inputs + c);
      }
      float should = (float) sum * expected.scale() * (float) CudaBench.at(wScales, output);
      double is = CudaBench.at(down, token * result.size(1) + output);
      require(W8A8, token, output, is, should, 0);
    }
  }

  private static void require(
      String what, long token, long output, double is, double should, double bound) {
    if (!(Math.abs(is - should) <= bound)) {
      throw new IllegalStateException(
          "%s: [%d, %d] is %s, should be %s within %s"
              .formatted(what, token, output, is, should, bound));
    }
  }
}
