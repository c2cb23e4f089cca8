package dev.lathe.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lathe.backend.TokenQuantization;
import dev.lathe.backend.cpu.CpuLibrary.Symbols;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.UnfilledMemory;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Weights as {@code struct lathe_weight} of {@code lathe_cpu.h}: addresses of the memory as it
 * lies. INT8 matrices are copied, into the blocks in which they are multiplied in integers.
 */
final class NativeWeights {
  private static final long MEMBERS = 19;
  private static final int STACKED = 8;

  /** Rows of a block, {@code LATHE_PACKED_ROWS}. */
  private static final long PACKED_ROWS = 16;

  /** Columns that are summed in integers at most, {@code kIntegerBlock}. */
  private static final long BLOCK = 128;

  /** A segment that is as long as the row. */
  private static final long WHOLE_ROW = Long.MAX_VALUE;

  /** The widest register, in lanes: a segment is whole ones. */
  private static final long LANES = 16;

  /** What the last members of a descriptor point to: 0 where there is no copy. */
  private record Packed(long values, long scales, long zeros, long bytes) {
    static final Packed NONE = new Packed(0, 0, 0, 0);
  }

  private NativeWeights() {}

  /**
   * A weight in the host's memory.
   *
   * @param address of its descriptor
   * @param copiedBytes of the copies that belong to it
   * @param divided a stack that is multiplied part by part: one of its matrices wants INT8
   *     activations, which only blocks are multiplied by, and the stack can't be in blocks
   */
  record Described(long address, long copiedBytes, boolean divided) {}

  /**
   * The descriptor and the copies live as long as the arena.
   *
   * @param multiplied whether products are asked for, not only rows
   * @throws dev.lathe.error.LatheException (exit code 1) if there is no memory for a copy
   */
  static Described describe(Weight weight, boolean multiplied, Arena arena) {
    List<Weight> parts = new ArrayList<>();
    flatten(weight, parts);
    MemorySegment array = arena.allocate(JAVA_LONG, MEMBERS * parts.size());
    boolean packed = multiplied && canBePacked(parts);
    boolean divided =
        multiplied
            && !packed
            && parts.size() > 1
            && parts.stream().anyMatch(TokenQuantization::isFor);
    long copied = 0;
    for (int i = 0; i < parts.size(); i++) {
      MemorySegment descriptor = array.asSlice(i * MEMBERS * 8, MEMBERS * 8);
      write(parts.get(i), Packed.NONE, descriptor);
      if (packed && parts.get(i) instanceof Weight.Int8 int8) {
        Packed copy = pack(int8, descriptor, arena);
        write(int8, copy, descriptor);
        copied += copy.bytes;
      }
    }
    if (parts.size() == 1) {
      return new Described(array.address(), copied, false);
    }
    MemorySegment whole = arena.allocate(JAVA_LONG, MEMBERS);
    put(
        whole,
        STACKED,
        weight.rows(),
        weight.cols(),
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        array.address(),
        parts.size(),
        0,
        0,
        0,
        0);
    return new Described(whole.address(), copied, divided);
  }

  /**
   * Threads share a stack's rows, so that blocks have to fall into step in all of its parts; and
   * all parts multiply the same integers.
   */
  private static boolean canBePacked(List<Weight> parts) {
    boolean blocks =
        parts.size() == 1 || parts.stream().allMatch(part -> part.rows() % PACKED_ROWS == 0);
    long[] segments =
        parts.stream()
            .filter(Weight.Int8.class::isInstance)
            .mapToLong(part -> segment((Weight.Int8) part))
            .distinct()
            .toArray();
    return blocks && segments.length == 1 && segments[0] > 0;
  }

  /** Columns that are summed in integers; 0 where groups don't divide blocks, or registers them. */
  private static long segment(Weight.Int8 weight) {
    if (weight.activations() == ActivationFormat.INT8) {
      return WHOLE_ROW;
    }
    if (weight.scales().size(1) == 1) {
      return BLOCK;
    }
    long group = weight.groupSize();
    if (group < BLOCK) {
      return group % LANES == 0 && BLOCK % group == 0 ? group : 0;
    }
    return group % BLOCK == 0 ? BLOCK : 0;
  }

  private static Packed pack(Weight.Int8 weight, MemorySegment descriptor, Arena arena) {
    long rows = Math.ceilDiv(weight.rows(), PACKED_ROWS) * PACKED_ROWS;
    long cols = Math.ceilDiv(weight.cols(), 4L) * 4;
    long scales = rows * weight.scales().size(1) * Float.BYTES;
    Packed packed =
        new Packed(
            UnfilledMemory.allocate(rows * cols, arena).address(),
            UnfilledMemory.allocate(scales, arena).address(),
            weight.zeroPoints().isPresent() ? UnfilledMemory.allocate(scales, arena).address() : 0,
            rows * cols + (weight.zeroPoints().isPresent() ? 2 : 1) * scales);
    try {
      Symbols.PACK.invokeExact(descriptor.address(), packed.values, packed.scales, packed.zeros);
    } catch (Throwable e) {
      throw CpuLibrary.unexpected(e);
    } finally {
      Reference.reachabilityFence(weight);
    }
    return packed;
  }

  private static void flatten(Weight weight, List<Weight> parts) {
    if (weight instanceof Weight.Stacked stacked) {
      stacked.parts().forEach(part -> flatten(part, parts));
    } else {
      parts.add(weight);
    }
  }

  private static void write(Weight weight, Packed packed, MemorySegment out) {
    long rows = weight.rows();
    long cols = weight.cols();
    switch (weight) {
      case Weight.Dense dense -> {
        Tensor values = dense.values();
        put(
            out,
            denseKind(values.dtype()),
            rows,
            cols,
            address(values),
            values.rowStride(),
            0,
            0,
            1,
            cols,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0);
      }
      case Weight.Int8 int8 ->
          put(
              out,
              3,
              rows,
              cols,
              address(int8.values()),
              int8.values().rowStride(),
              contiguous(int8.scales()),
              scaleType(int8.scales()),
              int8.scales().size(1),
              int8.groupSize(),
              contiguous(int8.zeroPoints()),
              0,
              0,
              0,
              0,
              0,
              packed.values,
              packed.scales,
              packed.zeros,
              int8.activations() == ActivationFormat.INT8 ? 8 : 0);
      case Weight.Bitmap bitmap ->
          put(
              out,
              bitmap.values().dtype() == DType.I8 ? 7 : 4 + denseKind(bitmap.values().dtype()),
              rows,
              cols,
              address(bitmap.values()),
              0,
              contiguous(bitmap.scales()),
              bitmap.scales().map(NativeWeights::scaleType).orElse(0L),
              1,
              cols,
              contiguous(bitmap.zeroPoints()),
              address(bitmap.bitmap()),
              bitmap.bitmap().rowStride(),
              address(bitmap.rowOffsets()),
              0,
              0,
              0,
              0,
              0,
              0);
      case Weight.Stacked _ -> throw new IllegalStateException("a stack in a stack");
    }
  }

  /** The members in the order of the struct; the count is checked because C cannot. */
  private static void put(MemorySegment out, long... members) {
    if (members.length != MEMBERS) {
      throw new IllegalStateException(members.length + " members");
    }
    MemorySegment.copy(members, 0, out, JAVA_LONG, 0, members.length);
  }

  private static long denseKind(DType dtype) {
    return switch (dtype) {
      case F32 -> 0;
      case BF16 -> 1;
      case F16 -> 2;
      default ->
          throw new IllegalArgumentException("the CPU has no kernel for weights as " + dtype);
    };
  }

  private static long scaleType(Tensor scales) {
    return scales.dtype() == DType.F32 ? 1 : 2;
  }

  private static long contiguous(Optional<Tensor> tensor) {
    return tensor.map(NativeWeights::contiguous).orElse(0L);
  }

  private static long contiguous(Tensor tensor) {
    if (!tensor.isContiguous()) {
      throw new IllegalArgumentException("scales and zero points must be contiguous: " + tensor);
    }
    return address(tensor);
  }

  /** Host memory only: an address of another device would be read as one of the host. */
  private static long address(Tensor tensor) {
    return tensor.memory().address();
  }
}
