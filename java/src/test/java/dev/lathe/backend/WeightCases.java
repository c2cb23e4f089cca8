package dev.lathe.backend;

import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import dev.lathe.tensor.WeightRows;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** A weight of each format, of any size, in memory that starts at an odd address. */
enum WeightCases {
  F32,
  F16,
  BF16,
  INT8_CHANNEL_BF16,
  INT8_CHANNEL_F32,
  INT8_CHANNEL_BF16_ASYMMETRIC,
  INT8_CHANNEL_F32_ASYMMETRIC,
  INT8_GROUP_BF16,
  INT8_GROUP_F32,
  INT8_GROUP_F32_ASYMMETRIC,
  INT8_GROUP_BF16_ASYMMETRIC,
  INT8_GROUP_OF_32,
  INT8_GROUP_OF_64_ASYMMETRIC,
  INT8_GROUP_OF_128,
  W8A8_BF16,
  W8A8_F32,
  BITMAP_F32,
  BITMAP_F16,
  BITMAP_BF16,
  BITMAP_INT8_BF16,
  BITMAP_INT8_F32,
  BITMAP_INT8_BF16_ASYMMETRIC,
  STACKED_DENSE,
  STACKED_INT8,
  STACKED_W8A8,
  STACKED_W8A8_MIXED,
  STACKED_MIXED;

  /** A stack has more rows: that many in each part. */
  Weight make(Bench bench, long rows, long cols) {
    Builder b = new Builder(bench, rows, cols);
    return switch (this) {
      case F32 -> b.dense(DType.F32);
      case F16 -> b.dense(DType.F16);
      case BF16 -> b.dense(DType.BF16);
      case INT8_CHANNEL_BF16 -> b.int8(cols, DType.BF16, false);
      case INT8_CHANNEL_F32 -> b.int8(cols, DType.F32, false);
      case INT8_CHANNEL_BF16_ASYMMETRIC -> b.int8(cols, DType.BF16, true);
      case INT8_CHANNEL_F32_ASYMMETRIC -> b.int8(cols, DType.F32, true);
      // Groups of 5 or 16 leave a ragged last one in most of the sizes.
      case INT8_GROUP_BF16 -> b.int8(16, DType.BF16, false);
      case INT8_GROUP_F32 -> b.int8(5, DType.F32, false);
      case INT8_GROUP_F32_ASYMMETRIC -> b.int8(16, DType.F32, true);
      case INT8_GROUP_BF16_ASYMMETRIC -> b.int8(5, DType.BF16, true);
      case INT8_GROUP_OF_32 -> b.int8(32, DType.BF16, false);
      case INT8_GROUP_OF_64_ASYMMETRIC -> b.int8(64, DType.F32, true);
      case INT8_GROUP_OF_128 -> b.int8(128, DType.F32, false);
      case W8A8_BF16 -> b.w8a8(DType.BF16);
      case W8A8_F32 -> b.w8a8(DType.F32);
      case BITMAP_F32 -> b.bitmap(DType.F32, Optional.empty(), false);
      case BITMAP_F16 -> b.bitmap(DType.F16, Optional.empty(), false);
      case BITMAP_BF16 -> b.bitmap(DType.BF16, Optional.empty(), false);
      case BITMAP_INT8_BF16 -> b.bitmap(DType.I8, Optional.of(DType.BF16), false);
      case BITMAP_INT8_F32 -> b.bitmap(DType.I8, Optional.of(DType.F32), false);
      case BITMAP_INT8_BF16_ASYMMETRIC -> b.bitmap(DType.I8, Optional.of(DType.BF16), true);
      case STACKED_DENSE -> stack(b.dense(DType.F32), b.dense(DType.F32));
      case STACKED_INT8 -> stack(b.int8(cols, DType.BF16, false), b.int8(cols, DType.BF16, false));
      case STACKED_W8A8 -> stack(b.w8a8(DType.BF16), b.w8a8(DType.BF16));
      case STACKED_W8A8_MIXED ->
          stack(b.w8a8(DType.BF16), b.int8(cols, DType.BF16, false), b.dense(DType.BF16));
      case STACKED_MIXED ->
          stack(
              b.int8(cols, DType.BF16, true),
              b.dense(DType.BF16),
              b.bitmap(DType.I8, Optional.of(DType.BF16), false),
              b.bitmap(DType.F32, Optional.empty(), false));
    };
  }

  private static Weight stack(Weight... parts) {
    return new Weight.Stacked(List.of(parts));
  }

  /**
   * What the terms of a row are made of, without signs: for asymmetric values |q| and |zero point|
   * apart, because {@code scale (sum x q - zeroPoint sum x)} is a correct way to multiply.
   */
  static void magnitudes(Weight weight, long row, double[] out) {
    WeightRows.read(weight, row, out);
    Optional<Tensor> zeroPoints =
        switch (weight) {
          case Weight.Int8 int8 -> int8.zeroPoints();
          case Weight.Bitmap bitmap -> bitmap.zeroPoints();
          case Weight.Dense _ -> Optional.empty();
          case Weight.Stacked stacked -> {
            long rest = row;
            for (Weight part : stacked.parts()) {
              if (rest < part.rows()) {
                magnitudes(part, rest, out);
                yield Optional.empty();
              }
              rest -= part.rows();
            }
            throw new IndexOutOfBoundsException();
          }
        };
    // |q| + |z| <= |q - z| + 2 |z|
    for (int c = 0; c < weight.cols(); c++) {
      out[c] = Math.abs(out[c]);
      if (zeroPoints.isPresent()) {
        Tensor scales =
            weight instanceof Weight.Int8 int8
                ? int8.scales()
                : ((Weight.Bitmap) weight).scales().orElseThrow();
        long group = weight instanceof Weight.Int8 int8 ? c / int8.groupSize() : 0;
        out[c] +=
            2 * Math.abs(Bench.at(zeroPoints.get(), row, group)) * Bench.at(scales, row, group);
      }
    }
  }

  private record Builder(Bench bench, long rows, long cols) {

    Weight dense(DType dtype) {
      return new Weight.Dense(bench.fill(bench.unaligned(dtype, rows, cols), 1));
    }

    Weight int8(long groupSize, DType scaleType, boolean asymmetric) {
      long groups = Math.ceilDiv(cols, groupSize);
      return new Weight.Int8(
          bytes(rows, cols),
          scales(scaleType, rows, groups),
          asymmetric ? Optional.of(bytes(rows, groups)) : Optional.empty());
    }

    Weight w8a8(DType scaleType) {
      return ((Weight.Int8) int8(cols, scaleType, false)).with(ActivationFormat.INT8);
    }

    /** The first row is full, the second (if there is one) empty, the others half full. */
    Weight bitmap(DType valueType, Optional<DType> scaleType, boolean asymmetric) {
      Tensor bitmap = bench.unaligned(DType.U8, rows, Math.ceilDiv(cols, 8L));
      Tensor offsets = bench.unaligned(DType.I64, rows + 1);
      List<Long> starts = new ArrayList<>(List.of(0L));
      long kept = 0;
      for (long r = 0; r < rows; r++) {
        for (long c = 0; c < cols; c++) {
          if (r == 0 || (r != 1 && bench.random.nextBoolean())) {
            long at = r * bitmap.size(1) + c / 8;
            byte old = bitmap.memory().get(ValueLayout.JAVA_BYTE, at);
            bitmap.memory().set(ValueLayout.JAVA_BYTE, at, (byte) (old | 1 << (c % 8)));
            kept++;
          }
        }
        starts.add(kept);
      }
      for (int r = 0; r <= rows; r++) {
        offsets.memory().set(ValueLayout.JAVA_LONG_UNALIGNED, r * 8L, starts.get(r));
      }
      Tensor values =
          valueType == DType.I8 ? bytes(kept) : bench.fill(bench.unaligned(valueType, kept), 1);
      return new Weight.Bitmap(
          cols,
          bitmap,
          offsets,
          values,
          scaleType.map(type -> scales(type, rows, 1)),
          asymmetric ? Optional.of(bytes(rows, 1)) : Optional.empty());
    }

    private Tensor bytes(long... shape) {
      Tensor tensor = bench.unaligned(DType.I8, shape);
      for (long i = 0; i < tensor.elements(); i++) {
        tensor.memory().set(ValueLayout.JAVA_BYTE, i, (byte) bench.random.nextInt(-128, 128));
      }
      return tensor;
    }

    private Tensor scales(DType dtype, long rows, long groups) {
      Tensor tensor = bench.unaligned(dtype, rows, groups);
      for (long i = 0; i < tensor.elements(); i++) {
        Floats.set(tensor.memory(), dtype, i, (float) bench.random.nextDouble(0.002, 0.05));
      }
      return tensor;
    }
  }
}
