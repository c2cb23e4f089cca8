package dev.lathe.backend.cuda;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * Weights on the device in the format in which they are stored. A stack of matrices in one format
 * becomes one matrix, so that the fused query, key and value are one multiplication; a stack of
 * several formats stays a stack. Scales of W8A8 become F32, 4 bytes a row.
 */
final class CudaWeights {
  private final CudaTransfers transfers;

  CudaWeights(CudaTransfers transfers) {
    this.transfers = transfers;
  }

  /**
   * @param weight on the host
   * @throws IllegalArgumentException if it is not
   */
  Weight place(Weight weight, DeviceMemory memory) {
    List<Weight> parts = new ArrayList<>();
    flatten(weight, parts);
    Weight first = parts.getFirst();
    if (parts.stream().allMatch(part -> joins(first, part))) {
      return join(parts, memory);
    }
    return new Weight.Stacked(parts.stream().map(part -> join(List.of(part), memory)).toList());
  }

  private static void flatten(Weight weight, List<Weight> parts) {
    if (weight instanceof Weight.Stacked stacked) {
      stacked.parts().forEach(part -> flatten(part, parts));
    } else {
      parts.add(weight);
    }
  }

  /** Whether two matrices can be one, one below the other. */
  private static boolean joins(Weight a, Weight b) {
    return switch (a) {
      case Weight.Dense x when b instanceof Weight.Dense y -> sameType(x.values(), y.values());
      case Weight.Int8 x when b instanceof Weight.Int8 y ->
          x.activations() == y.activations()
              && (isW8A8(x) || sameType(x.scales(), y.scales()))
              && x.scales().size(1) == y.scales().size(1)
              && x.zeroPoints().isPresent() == y.zeroPoints().isPresent();
      case Weight.Bitmap x when b instanceof Weight.Bitmap y ->
          sameType(x.values(), y.values())
              && x.scales().map(Tensor::dtype).equals(y.scales().map(Tensor::dtype))
              && x.zeroPoints().isPresent() == y.zeroPoints().isPresent();
      default -> false;
    };
  }

  /** Whose scales become F32, of whichever type they are. */
  private static boolean isW8A8(Weight.Int8 weight) {
    return weight.activations() == ActivationFormat.INT8;
  }

  private static boolean sameType(Tensor a, Tensor b) {
    return a.dtype() == b.dtype();
  }

  private Weight join(List<Weight> parts, DeviceMemory memory) {
    return switch (parts.getFirst()) {
      case Weight.Dense _ -> new Weight.Dense(rows(parts, memory, w -> dense(w).values()));
      case Weight.Int8 int8 when isW8A8(int8) ->
          new Weight.Int8(
              rows(parts, memory, w -> int8(w).values()),
              scalesAsF32(parts, memory),
              Optional.empty(),
              ActivationFormat.INT8);
      case Weight.Int8 int8 ->
          new Weight.Int8(
              rows(parts, memory, w -> int8(w).values()),
              rows(parts, memory, w -> int8(w).scales()),
              optional(int8.zeroPoints(), parts, memory, w -> int8(w).zeroPoints()));
      case Weight.Bitmap bitmap ->
          new Weight.Bitmap(
              bitmap.cols(),
              rows(parts, memory, w -> bitmap(w).bitmap()),
              rowOffsets(parts, memory),
              rows(parts, memory, w -> bitmap(w).values()),
              optional(bitmap.scales(), parts, memory, w -> bitmap(w).scales()),
              optional(bitmap.zeroPoints(), parts, memory, w -> bitmap(w).zeroPoints()));
      case Weight.Stacked _ -> throw new IllegalStateException("a stack in a stack");
    };
  }

  private static Weight.Dense dense(Weight weight) {
    return (Weight.Dense) weight;
  }

  private static Weight.Int8 int8(Weight weight) {
    return (Weight.Int8) weight;
  }

  private static Weight.Bitmap bitmap(Weight weight) {
    return (Weight.Bitmap) weight;
  }

  private Optional<Tensor> optional(
      Optional<Tensor> first,
      List<Weight> parts,
      DeviceMemory memory,
      Function<Weight, Optional<Tensor>> member) {
    return first.map(_ -> rows(parts, memory, w -> member.apply(w).orElseThrow()));
  }

  /** One tensor of each part, one below the other. */
  private Tensor rows(List<Weight> parts, DeviceMemory memory, Function<Weight, Tensor> member) {
    List<Tensor> tensors = parts.stream().map(member).toList();
    long[] shape = tensors.getFirst().shape();
    shape[0] = tensors.stream().mapToLong(tensor -> tensor.size(0)).sum();
    Tensor placed = memory.tensor(tensors.getFirst().dtype(), shape);
    long at = placed.address();
    for (Tensor tensor : tensors) {
      upload(tensor, at);
      at += tensor.bytes();
    }
    return placed;
  }

  /** Scales of one group a row, as the W8A8 kernels read them. */
  private Tensor scalesAsF32(List<Weight> parts, DeviceMemory memory) {
    Tensor placed = memory.tensor(DType.F32, parts.stream().mapToLong(Weight::rows).sum(), 1);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment widened = arena.allocate(Math.max(1, placed.bytes()), Float.BYTES);
      long at = 0;
      for (Weight part : parts) {
        Tensor scales = int8(part).scales();
        for (long row = 0; row < part.rows(); row++) {
          float scale = Floats.get(scales.memory(), scales.dtype(), row * scales.rowStride());
          widened.setAtIndex(ValueLayout.JAVA_FLOAT, at++, scale);
        }
      }
      transfers.upload(widened.asSlice(0, placed.bytes()), placed.address());
    }
    return placed;
  }

  /** A contiguous copy on the device of a tensor whose rows may be apart. */
  void upload(Tensor host, long address) {
    if (host.isContiguous()) {
      transfers.upload(host.memory().asSlice(0, host.bytes()), address);
      return;
    }
    long rowBytes = host.size(1) * host.dtype().bytes();
    for (long row = 0; row < host.size(0); row++) {
      Tensor one = host.rows(row, row + 1);
      transfers.upload(one.memory().asSlice(0, rowBytes), address + row * rowBytes);
    }
  }

  /** Where each row's values start, counted from the first part's first value. */
  private Tensor rowOffsets(List<Weight> parts, DeviceMemory memory) {
    long rows = parts.stream().mapToLong(Weight::rows).sum();
    Tensor placed = memory.tensor(DType.I64, rows + 1);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment offsets = arena.allocate(placed.bytes(), Long.BYTES);
      long at = 0;
      long values = 0;
      for (Weight part : parts) {
        Weight.Bitmap bitmap = bitmap(part);
        for (long row = 0; row <= bitmap.rows(); row++) {
          long offset =
              bitmap.rowOffsets().memory().get(ValueLayout.JAVA_LONG_UNALIGNED, row * Long.BYTES);
          // A part's last offset is the next one's first.
          offsets.setAtIndex(ValueLayout.JAVA_LONG, at + row, values + offset);
        }
        at += bitmap.rows();
        values += bitmap.values().size(0);
      }
      transfers.upload(offsets, placed.address());
    }
    return placed;
  }
}
