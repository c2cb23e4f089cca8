package dev.lathe.checkpoint;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * How each format of {@link Weight} is named in a file, for a module {@code X}:
 *
 * <ul>
 *   <li>plain: {@code X.weight} F32, F16 or BF16 [rows, cols]
 *   <li>INT8: {@code X.weight} I8 [rows, cols], {@code X.weight_scale} [rows, groups] and, where
 *       asymmetric, {@code X.weight_zero_point} I8 [rows, groups]; the names and the meaning of
 *       compressed-tensors' {@code int-quantized}
 *   <li>bitmap: {@code X.weight_bitmap} U8 [rows, ceil(cols / 8)], {@code X.weight_values} [kept],
 *       scales and zero points of I8 values as above, and {@code X.weight_shape} I64 [rows, cols]
 *       where cols is no multiple of 8 (elsewhere it follows from the bitmap). Where each row
 *       starts follows from counting the bitmap's ones.
 * </ul>
 */
public final class WeightFormat {
  static final String WEIGHT = ".weight";
  static final String SCALE = ".weight_scale";
  static final String ZERO_POINT = ".weight_zero_point";
  static final String BITMAP = ".weight_bitmap";
  static final String VALUES = ".weight_values";
  static final String SHAPE = ".weight_shape";

  private WeightFormat() {}

  /** Plain values. */
  public static List<TensorInfo> dense(String module, long rows, long cols, DType dtype) {
    requireType(dtype.isFloating(), dtype);
    return List.of(TensorInfo.of(module + WEIGHT, dtype, rows, cols));
  }

  /**
   * INT8.
   *
   * @param groups scales a row; 1 is per channel
   * @param scaleType F32 or BF16
   */
  public static List<TensorInfo> int8(
      String module, long rows, long cols, long groups, boolean asymmetric, DType scaleType) {
    requireType(scaleType == DType.F32 || scaleType == DType.BF16, scaleType);
    if (!groupsFit(cols, groups)) {
      throw new IllegalArgumentException(
          "%d groups of equal size do not cover %d columns".formatted(groups, cols));
    }
    List<TensorInfo> infos = new ArrayList<>();
    infos.add(TensorInfo.of(module + WEIGHT, DType.I8, rows, cols));
    infos.add(TensorInfo.of(module + SCALE, scaleType, rows, groups));
    if (asymmetric) {
      infos.add(TensorInfo.of(module + ZERO_POINT, DType.I8, rows, groups));
    }
    return infos;
  }

  /**
   * Bitmap and the values that are kept.
   *
   * @param kept how many values
   * @param valueType F32, F16, BF16, or I8 with scales
   * @param scaleType F32 or BF16, present with I8 values and only there
   */
  public static List<TensorInfo> bitmap(
      String module,
      long rows,
      long cols,
      long kept,
      DType valueType,
      Optional<DType> scaleType,
      boolean asymmetric) {
    requireType(valueType.isFloating() || valueType == DType.I8, valueType);
    if ((valueType == DType.I8) != scaleType.isPresent() || (asymmetric && scaleType.isEmpty())) {
      throw new IllegalArgumentException("I8 values go with scales, others without");
    }
    List<TensorInfo> infos = new ArrayList<>();
    infos.add(TensorInfo.of(module + BITMAP, DType.U8, rows, Math.ceilDiv(cols, 8L)));
    infos.add(TensorInfo.of(module + VALUES, valueType, kept));
    scaleType.ifPresent(type -> infos.add(TensorInfo.of(module + SCALE, type, rows, 1)));
    if (asymmetric) {
      infos.add(TensorInfo.of(module + ZERO_POINT, DType.I8, rows, 1));
    }
    if (cols % 8 != 0) {
      infos.add(TensorInfo.of(module + SHAPE, DType.I64, 2));
    }
    return infos;
  }

  /** What a file says about a weight that exists already, in the order of {@link #parts}. */
  public static List<TensorInfo> infos(String module, Weight weight) {
    return switch (weight) {
      case Weight.Dense dense -> dense(module, dense.rows(), dense.cols(), dense.values().dtype());
      case Weight.Int8 int8 ->
          int8(
              module,
              int8.rows(),
              int8.cols(),
              int8.scales().size(1),
              int8.zeroPoints().isPresent(),
              int8.scales().dtype());
      case Weight.Bitmap bitmap ->
          bitmap(
              module,
              bitmap.rows(),
              bitmap.cols(),
              bitmap.values().size(0),
              bitmap.values().dtype(),
              bitmap.scales().map(Tensor::dtype),
              bitmap.zeroPoints().isPresent());
      case Weight.Stacked stacked -> throw stackedIsNotStored();
    };
  }

  /** The tensors to write, in the order of the infos above. */
  public static List<Tensor> parts(Weight weight) {
    List<Tensor> parts = new ArrayList<>();
    switch (weight) {
      case Weight.Dense dense -> parts.add(dense.values());
      case Weight.Int8 int8 -> {
        parts.add(int8.values());
        parts.add(int8.scales());
        int8.zeroPoints().ifPresent(parts::add);
      }
      case Weight.Bitmap bitmap -> {
        parts.add(bitmap.bitmap());
        parts.add(bitmap.values());
        bitmap.scales().ifPresent(parts::add);
        bitmap.zeroPoints().ifPresent(parts::add);
        if (bitmap.cols() % 8 != 0) {
          parts.add(shape(bitmap.rows(), bitmap.cols()));
        }
      }
      case Weight.Stacked stacked -> throw stackedIsNotStored();
    }
    return parts;
  }

  /**
   * True where {@code groups} is how many groups of one size (the last may be shorter) there are.
   */
  static boolean groupsFit(long cols, long groups) {
    return groups >= 1
        && groups <= Math.max(cols, 1)
        && Math.ceilDiv(Math.max(cols, 1), Math.ceilDiv(Math.max(cols, 1), groups)) == groups;
  }

  private static Tensor shape(long rows, long cols) {
    MemorySegment memory = Arena.ofAuto().allocateFrom(ValueLayout.JAVA_LONG, rows, cols);
    return Tensor.of(memory, DType.I64, 2);
  }

  private static void requireType(boolean fits, DType dtype) {
    if (!fits) {
      throw new IllegalArgumentException(dtype + " is not a type for this part of a weight");
    }
  }

  private static IllegalArgumentException stackedIsNotStored() {
    return new IllegalArgumentException("a stacked weight is stored module by module");
  }
}
