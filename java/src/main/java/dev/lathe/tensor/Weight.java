package dev.lathe.tensor;

import java.util.List;
import java.util.Optional;

/**
 * A matrix of weights {@code [rows, cols]} (outputs by inputs) in the format in which it is stored
 * and multiplied. Bytes are those of the storage, never computed from a wish.
 */
public sealed interface Weight {
  long rows();

  long cols();

  /** Bytes of everything that the format stores for this matrix. */
  long bytes();

  /** Whether values, or some of them, are integers with scales. */
  default boolean isQuantized() {
    return switch (this) {
      case Dense _ -> false;
      case Int8 _ -> true;
      case Bitmap bitmap -> bitmap.values().dtype() == DType.I8;
      case Stacked stacked -> stacked.parts().stream().anyMatch(Weight::isQuantized);
    };
  }

  /**
   * What the format is called in reports: {@code f32}, {@code int8}, {@code w8a8}, {@code
   * bitmap(int8)}.
   */
  String format();

  /** Plain values, F32, F16 or BF16. */
  record Dense(Tensor values) implements Weight {
    public Dense {
      if (values.rank() != 2 || !values.dtype().isFloating()) {
        throw new IllegalArgumentException("not a floating matrix: " + values);
      }
    }

    @Override
    public long rows() {
      return values.size(0);
    }

    @Override
    public long cols() {
      return values.size(1);
    }

    @Override
    public long bytes() {
      return values.bytes();
    }

    @Override
    public String format() {
      return values.dtype().name().toLowerCase(java.util.Locale.ROOT);
    }
  }

  /**
   * {@code w[r, c] = (values[r, c] - zeroPoint[r, g]) * scale[r, g]} with {@code g = c /
   * groupSize}.
   *
   * @param values [rows, cols] I8
   * @param scales [rows, groups] F32 or BF16; one group a row is "per channel"
   * @param zeroPoints [rows, groups] I8, absent where symmetric
   * @param activations what it is multiplied by; INT8 with one scale a row and no zero points, and
   *     at most {@link ActivationFormat#MOST_COLUMNS} columns
   */
  record Int8(
      Tensor values, Tensor scales, Optional<Tensor> zeroPoints, ActivationFormat activations)
      implements Weight {
    public Int8 {
      if (values.rank() != 2 || values.dtype() != DType.I8) {
        throw new IllegalArgumentException("not an I8 matrix: " + values);
      }
      if (scales.rank() != 2
          || scales.size(0) != values.size(0)
          || scales.size(1) < 1
          || (scales.dtype() != DType.F32 && scales.dtype() != DType.BF16)) {
        throw new IllegalArgumentException("scales " + scales + " do not fit " + values);
      }
      if (zeroPoints.isPresent()
          && (zeroPoints.get().dtype() != DType.I8
              || !java.util.Arrays.equals(zeroPoints.get().shape(), scales.shape()))) {
        throw new IllegalArgumentException(
            "zero points " + zeroPoints.get() + " do not fit scales " + scales);
      }
      if (activations == ActivationFormat.INT8 && !takesInt8(values, scales, zeroPoints)) {
        throw new IllegalArgumentException(
            "INT8 activations go with one scale a row, no zero points and at most %d columns: %s, %s"
                .formatted(ActivationFormat.MOST_COLUMNS, values, scales));
      }
    }

    /** Multiplied by activations as they are. */
    public Int8(Tensor values, Tensor scales, Optional<Tensor> zeroPoints) {
      this(values, scales, zeroPoints, ActivationFormat.FLOAT);
    }

    private static boolean takesInt8(Tensor values, Tensor scales, Optional<Tensor> zeroPoints) {
      return scales.size(1) == 1
          && zeroPoints.isEmpty()
          && values.size(1) <= ActivationFormat.MOST_COLUMNS;
    }

    /** Whether activations may be INT8 too. */
    public boolean takesInt8Activations() {
      return takesInt8(values, scales, zeroPoints);
    }

    /** The same codes. */
    public Int8 with(ActivationFormat other) {
      return new Int8(values, scales, zeroPoints, other);
    }

    @Override
    public long rows() {
      return values.size(0);
    }

    @Override
    public long cols() {
      return values.size(1);
    }

    /** Columns that share a scale; the last group of a row may be shorter. */
    public long groupSize() {
      return Math.ceilDiv(cols(), scales.size(1));
    }

    @Override
    public long bytes() {
      return values.bytes() + scales.bytes() + zeroPoints.map(Tensor::bytes).orElse(0L);
    }

    @Override
    public String format() {
      return activations == ActivationFormat.INT8
          ? "w8a8"
          : zeroPoints.isPresent() ? "int8-asymmetric" : "int8";
    }
  }

  /**
   * Unstructured sparsity: one bit a weight says whether it is kept, and only those that are kept
   * are stored. Bit {@code c % 8} (least significant first) of byte {@code c / 8} of a row.
   *
   * @param bitmap [rows, ceil(cols / 8)] U8; bits beyond cols are 0
   * @param rowOffsets [rows + 1] I64: where in {@code values} each row starts
   * @param values [kept] F32, F16, BF16, or I8 with scales
   * @param scales [rows, 1] F32 or BF16, present where the values are I8
   * @param zeroPoints [rows, 1] I8, of asymmetric I8 values; a weight that is not kept is 0 all the
   *     same
   */
  record Bitmap(
      long cols,
      Tensor bitmap,
      Tensor rowOffsets,
      Tensor values,
      Optional<Tensor> scales,
      Optional<Tensor> zeroPoints)
      implements Weight {
    public Bitmap {
      if (bitmap.rank() != 2
          || bitmap.dtype() != DType.U8
          || bitmap.size(1) != Math.ceilDiv(cols, 8L)) {
        throw new IllegalArgumentException("bitmap " + bitmap + " does not fit " + cols + " cols");
      }
      if (rowOffsets.rank() != 1
          || rowOffsets.dtype() != DType.I64
          || rowOffsets.size(0) != bitmap.size(0) + 1) {
        throw new IllegalArgumentException("row offsets " + rowOffsets + " do not fit " + bitmap);
      }
      if (values.rank() != 1 || (values.dtype() == DType.I8) != scales.isPresent()) {
        throw new IllegalArgumentException("I8 values go with scales, others without: " + values);
      }
      if (zeroPoints.isPresent() && scales.isEmpty()) {
        throw new IllegalArgumentException("zero points go with scales");
      }
    }

    @Override
    public long rows() {
      return bitmap.size(0);
    }

    @Override
    public long bytes() {
      return bitmap.bytes()
          + rowOffsets.bytes()
          + values.bytes()
          + scales.map(Tensor::bytes).orElse(0L)
          + zeroPoints.map(Tensor::bytes).orElse(0L);
    }

    @Override
    public String format() {
      return values.dtype() == DType.I8
          ? "bitmap(int8)"
          : "bitmap(" + values.dtype().name().toLowerCase(java.util.Locale.ROOT) + ")";
    }
  }

  /**
   * Several matrices over the same inputs, one below the other: the fused query, key and value, or
   * gate and up. The parts stay where they are, so that a mapped file needs no copy; a backend that
   * wants them in one piece makes one when it places them.
   */
  record Stacked(List<Weight> parts) implements Weight {
    public Stacked {
      parts = List.copyOf(parts);
      for (Weight part : parts) {
        if (part.cols() != parts.getFirst().cols()) {
          throw new IllegalArgumentException("stacked matrices differ in their inputs");
        }
      }
    }

    @Override
    public long rows() {
      // A loop, because this is asked for in every step of a decoder.
      long rows = 0;
      for (Weight part : parts) {
        rows += part.rows();
      }
      return rows;
    }

    @Override
    public long cols() {
      return parts.getFirst().cols();
    }

    @Override
    public long bytes() {
      return parts.stream().mapToLong(Weight::bytes).sum();
    }

    @Override
    public String format() {
      return parts.stream().map(Weight::format).distinct().reduce((a, b) -> a + "+" + b).orElse("");
    }
  }
}
