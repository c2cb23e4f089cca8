package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import java.util.OptionalLong;
import java.util.stream.LongStream;

/** Checks of the weights themselves, which read every byte: on request. */
public final class CheckpointValidation {
  /** Large enough to stream, small enough for the caches and for all processors to get some. */
  private static final int BLOCK_BYTES = 1 << 18;

  private CheckpointValidation() {}

  /**
   * Every floating value of every tensor is a number.
   *
   * @throws InvalidInputException at the first NaN or infinity; names tensor, row and column
   */
  public static void requireFinite(Checkpoint checkpoint) {
    for (Map.Entry<String, TensorInfo> entry : checkpoint.tensors().entrySet()) {
      if (entry.getValue().dtype().isFloating()) {
        requireFinite(
            stored(checkpoint, entry.getKey()), checkpoint.path() + ": " + entry.getKey());
      }
    }
  }

  /**
   * The tensor, or where it is stored transposed what is stored: the other one would be a copy. The
   * codes of INT8 are always finite, its scales are what to look at.
   */
  private static Tensor stored(Checkpoint checkpoint, String name) {
    if (!name.endsWith(WeightFormat.WEIGHT)) {
      return checkpoint.tensor(name);
    }
    String module = name.substring(0, name.length() - WeightFormat.WEIGHT.length());
    return switch (checkpoint.transposed(module).orElse(null)) {
      case Weight.Dense dense -> dense.values();
      case Weight.Int8 int8 -> int8.scales();
      case null, default -> checkpoint.tensor(name);
    };
  }

  /**
   * Every value of a contiguous floating tensor is a number.
   *
   * @param where file and tensor, for the message
   * @throws InvalidInputException at the first NaN or infinity
   */
  public static void requireFinite(Tensor tensor, String where) {
    if (!tensor.dtype().isFloating() || !tensor.isContiguous()) {
      throw new IllegalArgumentException("not a contiguous floating tensor: " + tensor);
    }
    OptionalLong bad = firstNotFinite(tensor);
    if (bad.isEmpty()) {
      return;
    }
    long index = bad.getAsLong();
    float value = Floats.get(tensor.memory(), tensor.dtype(), index);
    long columns = tensor.rank() == 0 ? 1 : tensor.size(tensor.rank() - 1);
    throw new InvalidInputException(
        "%s has %s in row %d, column %d (both from 0); weights must be finite numbers"
            .formatted(where, value, index / columns, index % columns));
  }

  private static OptionalLong firstNotFinite(Tensor tensor) {
    int width = tensor.dtype().bytes();
    MemorySegment memory = tensor.memory();
    long bytes = tensor.bytes();
    return LongStream.range(0, Math.ceilDiv(bytes, (long) BLOCK_BYTES))
        .parallel()
        .map(block -> {
          long from = block * BLOCK_BYTES;
          MemorySegment slice = memory.asSlice(from, Math.min(BLOCK_BYTES, bytes - from));
          int inside = firstNotFinite(slice, tensor.dtype());
          return inside < 0 ? -1 : from / width + inside;
        })
        .filter(index -> index >= 0)
        .findFirst();
  }

  /**
   * Index of the first value that is no number, or -1. A block is fine where the largest of all
   * exponents is below that of infinity, which the compiler turns into vector instructions.
   */
  private static int firstNotFinite(MemorySegment block, DType dtype) {
    boolean finite =
        switch (dtype) {
          case F32 -> largest(block.toArray(ValueLayout.JAVA_INT_UNALIGNED)) < 0x7f800000;
          case F16 -> largest(block.toArray(ValueLayout.JAVA_SHORT_UNALIGNED)) < 0x7c00;
          case BF16 -> largest(block.toArray(ValueLayout.JAVA_SHORT_UNALIGNED)) < 0x7f80;
          case F8_E4M3 -> largest(block.toArray(ValueLayout.JAVA_BYTE)) < 0x7f;
          case I8, U8, I32, I64 -> throw new IllegalArgumentException(dtype + " is always finite");
        };
    if (finite) {
      return -1;
    }
    int index = 0;
    while (Float.isFinite(Floats.get(block, dtype, index))) {
      index++;
    }
    return index;
  }

  private static int largest(int[] bits) {
    int largest = 0;
    for (int b : bits) {
      largest = Math.max(largest, b & 0x7fffffff);
    }
    return largest;
  }

  private static int largest(short[] bits) {
    int largest = 0;
    for (short b : bits) {
      largest = Math.max(largest, b & 0x7fff);
    }
    return largest;
  }

  private static int largest(byte[] bits) {
    int largest = 0;
    for (byte b : bits) {
      largest = Math.max(largest, b & 0x7f);
    }
    return largest;
  }
}
