package dev.lathe.compress;

import dev.lathe.backend.HostMemory;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.WeightFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Weights as INT8 with a scale a row (W8A16, round to nearest): every linear layer, embedding and
 * head, one byte a weight. Norms and biases stay. Of a pruned matrix the weights that are kept are
 * quantized, and the row's scale is theirs. A matrix that is INT8 already stays as it is.
 *
 * @param symmetric without zero points: {@code w = q scale}; see {@link Int8Row}
 */
public record QuantizeInt8(boolean symmetric) implements Technique {

  @Override
  public String name() {
    return symmetric ? "int8" : "int8 asymmetric";
  }

  @Override
  public String description() {
    return "quantize w8a16 rtn per-channel " + (symmetric ? "symmetric" : "asymmetric");
  }

  @Override
  public CompressionResult apply(Checkpoint in, Path out, Progress progress) {
    return Rewrite.run(in, out, description(), progress, () -> this::plan);
  }

  Rewrite.Plan plan(Contents.Matrix matrix, FiniteRows rows) {
    String module = matrix.module();
    boolean asymmetric = !symmetric;
    return switch (rows.weight()) {
      case Weight.Dense dense ->
          new Rewrite.Plan.Replace(
              WeightFormat.int8(module, dense.rows(), dense.cols(), 1, asymmetric, DType.BF16),
              memory -> dense(rows, memory));
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
