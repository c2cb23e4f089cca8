package dev.lathe.checkpoint;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.util.List;

/** What a file says about a tensor. */
public record TensorInfo(String name, DType dtype, List<Long> shape) {
  public TensorInfo {
    shape = List.copyOf(shape);
  }

  public static TensorInfo of(String name, DType dtype, long... shape) {
    return new TensorInfo(name, dtype, java.util.Arrays.stream(shape).boxed().toList());
  }

  public long[] dimensions() {
    return shape.stream().mapToLong(Long::longValue).toArray();
  }

  public long elements() {
    return Tensor.elements(dimensions());
  }

  public long bytes() {
    return Math.multiplyExact(elements(), dtype.bytes());
  }
}
