package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.Predicate;

/** Puts the tensors of a module together to the weight that they store; {@link WeightFormat}. */
final class WeightReader {
  /** Suffixes that other tools store matrices under, which are not read (yet). */
  private static final Map<String, String> FOREIGN =
      Map.of(
          ".weight_packed", "compressed-tensors pack-quantized",
          ".qweight", "GPTQ or AWQ",
          ".weight_scale_inv", "FP8 in blocks",
          ".weight_g_idx", "columns in the order of their activations");

  private final Map<String, TensorInfo> tensors;
  private final Function<String, Tensor> tensor;
  private final Predicate<String> int8Activations;
  private final Arena arena;
  private final String where;

  /**
   * @param int8Activations modules whose activations are INT8 too, where their weights take it
   * @param arena owns what has to be derived: row offsets, and scales in another type or shape
   */
  WeightReader(
      Map<String, TensorInfo> tensors,
      Function<String, Tensor> tensor,
      Predicate<String> int8Activations,
      Arena arena,
      String where) {
    this.tensors = tensors;
    this.tensor = tensor;
    this.int8Activations = int8Activations;
    this.arena = arena;
    this.where = where;
  }

  Weight read(String module) {
    FOREIGN.forEach((suffix, format) -> {
      if (tensors.containsKey(module + suffix)) {
        throw new InvalidInputException(
            "%s: module %s is stored as %s (%s), which Lathe does not read; it reads plain, INT8"
                    .formatted(where, module, module + suffix, format)
                + " and bitmap weights");
      }
    });
    return tensors.containsKey(module + WeightFormat.BITMAP) ? bitmap(module) : plain(module);
  }

  private Weight plain(String module) {
    String name = module + WeightFormat.WEIGHT;
    Tensor values = tensor.apply(name);
    if (values.rank() != 2) {
      throw bad(
          name, "has shape %s; a matrix has two dimensions".formatted(tensors.get(name).shape()));
    }
    boolean scaled = tensors.containsKey(module + WeightFormat.SCALE);
    DType dtype = values.dtype();
    if (dtype == DType.I8) {
      if (!scaled) {
        throw bad(name, "is I8, so %s must be there".formatted(module + WeightFormat.SCALE));
      }
      Tensor scales = scales(module, values.size(0), values.size(1));
      Weight.Int8 int8 = new Weight.Int8(values, scales, zeroPoints(module, scales));
      return int8Activations.test(module) && int8.takesInt8Activations()
          ? int8.with(ActivationFormat.INT8)
          : int8;
    }
    if (!isPlain(dtype)) {
      throw bad(
          name,
          "is %s; as the weights of a layer Lathe reads F32, F16, BF16 and I8 with scales"
              .formatted(dtype));
    }
    if (scaled) {
      throw bad(
          name,
          "is %s, but there is %s as well; only I8 weights have scales"
              .formatted(dtype, module + WeightFormat.SCALE));
    }
    return new Weight.Dense(values);
  }

  private static boolean isPlain(DType dtype) {
    return dtype == DType.F32 || dtype == DType.F16 || dtype == DType.BF16;
  }

  private Weight bitmap(String module) {
    String name = module + WeightFormat.BITMAP;
    Tensor bitmap = tensor.apply(name);
    if (bitmap.rank() != 2 || bitmap.dtype() != DType.U8) {
      throw bad(name, "is %s; a bitmap is U8 [rows, ceil(cols / 8)]".formatted(bitmap));
    }
    if (tensors.containsKey(module + WeightFormat.WEIGHT)) {
      throw bad(name, "and %s are both there; one must go".formatted(module + WeightFormat.WEIGHT));
    }
    long rows = bitmap.size(0);
    long cols = columns(module, bitmap);
    Tensor values = tensor.apply(module + WeightFormat.VALUES);
    boolean typed = isPlain(values.dtype()) || values.dtype() == DType.I8;
    if (values.rank() != 1 || !typed) {
      throw bad(
          module + WeightFormat.VALUES,
          "is %s; it must be F32, F16, BF16 or I8 [kept]".formatted(values));
    }
    boolean scaled = tensors.containsKey(module + WeightFormat.SCALE);
    if (scaled != (values.dtype() == DType.I8)) {
      throw bad(
          module + WeightFormat.VALUES,
          "is %s, and %s is %s; I8 values go with scales, others without"
              .formatted(
                  values.dtype(), module + WeightFormat.SCALE, scaled ? "there" : "missing"));
    }
    Optional<Tensor> scales = scaled ? Optional.of(scales(module, rows, 1)) : Optional.empty();
    Optional<Tensor> zeroPoints = scales.flatMap(s -> zeroPoints(module, s));
    Tensor offsets = rowOffsets(module, bitmap, cols, values.size(0));
    return new Weight.Bitmap(cols, bitmap, offsets, values, scales, zeroPoints);
  }

  private long columns(String module, Tensor bitmap) {
    String name = module + WeightFormat.SHAPE;
    if (!tensors.containsKey(name)) {
      return bitmap.size(1) * 8;
    }
    Tensor shape = tensor.apply(name);
    boolean integers = shape.dtype() == DType.I64 || shape.dtype() == DType.I32;
    if (!integers || shape.rank() != 1 || shape.size(0) != 2) {
      throw bad(name, "is %s; it must be I64 [2], rows and columns".formatted(shape));
    }
    long rows = integer(shape, 0);
    long cols = integer(shape, 1);
    if (rows != bitmap.size(0) || cols < 0 || Math.ceilDiv(cols, 8L) != bitmap.size(1)) {
      throw bad(
          name,
          "says %d x %d, but the bitmap is %s; it must be [rows, ceil(cols / 8)]"
              .formatted(rows, cols, bitmap));
    }
    return cols;
  }

  private static long integer(Tensor tensor, long index) {
    return tensor.dtype() == DType.I64
        ? tensor.memory().get(ValueLayout.JAVA_LONG_UNALIGNED, index * 8)
        : tensor.memory().get(ValueLayout.JAVA_INT_UNALIGNED, index * 4);
  }

  /** Counts the ones of every row, and checks that they end where the values do. */
  private Tensor rowOffsets(String module, Tensor bitmap, long cols, long kept) {
    long rows = bitmap.size(0);
    long width = bitmap.size(1);
    int used = (int) (cols % 8);
    int beyond = used == 0 ? 0 : 0xff & (0xff << used);
    MemorySegment bits = bitmap.memory();
    MemorySegment offsets = arena.allocate((rows + 1) * Long.BYTES, Long.BYTES);
    long total = 0;
    for (long row = 0; row < rows; row++) {
      long at = row * width;
      long end = at + width;
      if (beyond != 0 && (bits.get(ValueLayout.JAVA_BYTE, end - 1) & beyond) != 0) {
        throw bad(
            module + WeightFormat.BITMAP,
            "has bits beyond column %d set in row %d".formatted(cols, row));
      }
      for (; at + Long.BYTES <= end; at += Long.BYTES) {
        total += Long.bitCount(bits.get(ValueLayout.JAVA_LONG_UNALIGNED, at));
      }
      for (; at < end; at++) {
        total += Integer.bitCount(bits.get(ValueLayout.JAVA_BYTE, at) & 0xff);
      }
      offsets.setAtIndex(ValueLayout.JAVA_LONG, row + 1, total);
    }
    if (total != kept) {
      throw bad(
          module + WeightFormat.BITMAP,
          "keeps %d weights, but %s has %d".formatted(total, module + WeightFormat.VALUES, kept));
    }
    return Tensor.of(offsets, DType.I64, rows + 1);
  }

  /** [rows, groups] F32 or BF16; a scale for all (or one a row, without the second 1) is spread. */
  private Tensor scales(String module, long rows, long cols) {
    String name = module + WeightFormat.SCALE;
    Tensor stored = tensor.apply(name);
    if (!isPlain(stored.dtype())) {
      throw bad(name, "is %s; scales are F32, BF16 or F16".formatted(stored.dtype()));
    }
    long groups = groups(name, stored, rows);
    if (!WeightFormat.groupsFit(cols, groups)) {
      throw bad(
          name, "has %d scales a row, which do not divide %d columns".formatted(groups, cols));
    }
    if (stored.dtype() != DType.F16 && stored.elements() == rows * groups) {
      return stored.reshape(rows, groups);
    }
    MemorySegment wide = arena.allocate(rows * groups * Float.BYTES, Float.BYTES);
    long step = stored.elements() == 1 ? 0 : 1;
    for (long i = 0; i < rows * groups; i++) {
      Floats.set(wide, DType.F32, i, Floats.get(stored.memory(), stored.dtype(), i * step));
    }
    return Tensor.of(wide, DType.F32, rows, groups);
  }

  private Optional<Tensor> zeroPoints(String module, Tensor scales) {
    String name = module + WeightFormat.ZERO_POINT;
    if (!tensors.containsKey(name)) {
      return Optional.empty();
    }
    Tensor stored = tensor.apply(name);
    long rows = scales.size(0);
    if (stored.dtype() != DType.I8 || groups(name, stored, rows) != scales.size(1)) {
      throw bad(name, "is %s; it must be I8 of the scales' shape %s".formatted(stored, scales));
    }
    if (stored.elements() == scales.elements()) {
      return Optional.of(stored.reshape(scales.shape()));
    }
    MemorySegment spread = arena.allocate(rows);
    spread.fill(stored.memory().get(ValueLayout.JAVA_BYTE, 0));
    return Optional.of(Tensor.of(spread, DType.I8, rows, 1));
  }

  /** Values a row; 1 where one value serves all rows, or where the second dimension is left out. */
  private long groups(String name, Tensor stored, long rows) {
    if (stored.rank() == 2 && stored.size(0) == rows && stored.size(1) >= 1) {
      return stored.size(1);
    }
    if ((stored.rank() == 1 && stored.size(0) == rows) || stored.elements() == 1) {
      return 1;
    }
    throw bad(
        name,
        "has shape %s; %d rows need [%d, groups]".formatted(tensors.get(name).shape(), rows, rows));
  }

  private InvalidInputException bad(String name, String what) {
    return new InvalidInputException("%s: tensor %s %s".formatted(where, name, what));
  }
}
