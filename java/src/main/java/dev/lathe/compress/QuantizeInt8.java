package dev.lathe.compress;

import dev.lathe.backend.HostMemory;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.WeightFormat;
import dev.lathe.error.InvalidInputException;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Weights as INT8 with a scale a row (round to nearest): every linear layer, embedding and head,
 * one byte a weight. Norms and biases stay. Of a pruned matrix the weights that are kept are
 * quantized, and the row's scale is theirs. A matrix that is INT8 already stays as it is.
 *
 * <p>W8A8 makes the activations of linear layers INT8 too, when they are multiplied; of embedding
 * and head they stay, and of what is no INT8 matrix with one scale a row and no zero points.
 *
 * @param symmetric without zero points: {@code w = q scale}; see {@link Int8Row}
 * @param activations INT8 for W8A8, which is symmetric
 */
public record QuantizeInt8(boolean symmetric, ActivationFormat activations) implements Technique {

  public QuantizeInt8 {
    if (activations == ActivationFormat.INT8 && !symmetric) {
      throw new IllegalArgumentException("W8A8 is symmetric");
    }
  }

  /** W8A16. */
  public QuantizeInt8(boolean symmetric) {
    this(symmetric, ActivationFormat.FLOAT);
  }

  /** W8A8. */
  public static QuantizeInt8 withActivations() {
    return new QuantizeInt8(true, ActivationFormat.INT8);
  }

  @Override
  public String name() {
    return isW8A8() ? "w8a8" : symmetric ? "int8" : "int8 asymmetric";
  }

  @Override
  public String description() {
    return "quantize %s rtn per-channel %s%s"
        .formatted(
            isW8A8() ? "w8a8" : "w8a16",
            symmetric ? "symmetric" : "asymmetric",
            isW8A8() ? ", activations per token" : "");
  }

  private boolean isW8A8() {
    return activations == ActivationFormat.INT8;
  }

  /** Of W8A8, where no matrix would become it. */
  @Override
  public Optional<String> refusal(Checkpoint in) {
    if (!isW8A8()) {
      return Optional.empty();
    }
    ModelConfig config = ModelConfig.parse(in.config(), in.path() + ": config.json");
    if (config.storesInputsByOutputs()) {
      return Optional.of(
          "W8A8 needs a scale for each output, but %s stores its matrices [inputs, outputs]: w8a16 works"
              .formatted(config.architecture()));
    }
    boolean some =
        Contents.matrices(in).stream()
            .filter(matrix -> !matrix.isEmbeddingOrHead())
            .map(matrix -> in.weight(matrix.module()))
            .anyMatch(weight ->
                weight instanceof Weight.Dense
                    || (weight instanceof Weight.Int8 int8
                        && int8.takesInt8Activations()
                        && int8.activations() == ActivationFormat.FLOAT));
    return some
        ? Optional.empty()
        : Optional.of(
            "no linear layer is plain or INT8 with one scale a row and no zero points, which W8A8 is made of");
  }

  @Override
  public CompressionResult apply(Checkpoint in, Path out, Progress progress) {
    refusal(in)
        .ifPresent(why -> {
          throw new InvalidInputException(in.path() + ": " + why);
        });
    return Rewrite.run(in, out, description(), progress, () -> this::plan);
  }

  Rewrite.Plan plan(Contents.Matrix matrix, FiniteRows rows) {
    String module = matrix.module();
    boolean asymmetric = !symmetric;
    ActivationFormat here = matrix.isEmbeddingOrHead() ? ActivationFormat.FLOAT : activations;
    return switch (rows.weight()) {
      case Weight.Dense dense ->
          new Rewrite.Plan.Replace(
              WeightFormat.int8(module, dense.rows(), dense.cols(), 1, asymmetric, DType.BF16),
              here,
              memory -> dense(rows, memory).with(here));
      case Weight.Int8 int8 when here != int8.activations() && isW8A8() ->
          int8.takesInt8Activations() && here == ActivationFormat.INT8
              ? new Rewrite.Plan.QuantizeActivations("the same weights, activations as INT8")
              : new Rewrite.Plan.Keep(
                  "its activations stay: they are INT8 beside one scale a row without zero points");
      case Weight.Bitmap bitmap when bitmap.scales().isEmpty() ->
          new Rewrite.Plan.Replace(
              WeightFormat.bitmap(
                  module,
                  bitmap.rows(),
                  bitmap.cols(),
                  bitmap.values().size(0),
                  DType.I8,
                  Optional.of(DType.BF16),
                  asymmetric),
              memory -> bitmap(bitmap, rows, memory));
      default -> new Rewrite.Plan.Keep("is INT8 already");
    };
  }

  /** [rows, cols] codes, their scales BF16 [rows, 1], and zero points where asymmetric. */
  Weight.Int8 dense(FiniteRows rows, HostMemory memory) {
    Weight weight = rows.weight();
    int cols = Math.toIntExact(weight.cols());
    Tensor codes = memory.tensor(DType.I8, weight.rows(), cols);
    Scales scales = new Scales(memory, weight.rows());
    for (long r = 0; r < weight.rows(); r++) {
      double[] row = rows.read(r);
      Int8Row numbers = scales.of(r, row, cols);
      for (int c = 0; c < cols; c++) {
        codes.memory().set(ValueLayout.JAVA_BYTE, r * cols + c, numbers.quantize(row[c]));
      }
    }
    return new Weight.Int8(codes, scales.scales, scales.zeroPoints);
  }

  /** The same bitmap; the kept values as codes. */
  Weight.Bitmap bitmap(Weight.Bitmap weight, FiniteRows rows, HostMemory memory) {
    int cols = Math.toIntExact(weight.cols());
    Tensor codes = memory.tensor(DType.I8, weight.values().size(0));
    Scales scales = new Scales(memory, weight.rows());
    MemorySegment bits = weight.bitmap().memory();
    double[] kept = new double[cols];
    long next = 0;
    for (long r = 0; r < weight.rows(); r++) {
      double[] row = rows.read(r);
      int count = 0;
      for (int c = 0; c < cols; c++) {
        if (Bitmaps.isSet(bits, r * weight.bitmap().rowStride(), c)) {
          kept[count++] = row[c];
        }
      }
      Int8Row numbers = scales.of(r, kept, count);
      for (int i = 0; i < count; i++) {
        codes.memory().set(ValueLayout.JAVA_BYTE, next++, numbers.quantize(kept[i]));
      }
    }
    return new Weight.Bitmap(
        cols,
        weight.bitmap(),
        weight.rowOffsets(),
        codes,
        Optional.of(scales.scales),
        scales.zeroPoints);
  }

  /** The scales and zero points of a matrix, filled row by row. */
  private final class Scales {
    private final Tensor scales;
    private final Optional<Tensor> zeroPoints;

    Scales(HostMemory memory, long rows) {
      this.scales = memory.tensor(DType.BF16, rows, 1);
      this.zeroPoints =
          symmetric ? Optional.empty() : Optional.of(memory.tensor(DType.I8, rows, 1));
    }

    Int8Row of(long row, double[] weights, int count) {
      Int8Row numbers =
          symmetric ? Int8Row.symmetric(weights, count) : Int8Row.asymmetric(weights, count);
      Floats.set(scales.memory(), DType.BF16, row, numbers.scale());
      zeroPoints.ifPresent(
          tensor -> tensor.memory().set(ValueLayout.JAVA_BYTE, row, numbers.zeroPoint()));
      return numbers;
    }
  }
}
