package dev.lathe.tensor;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;

/**
 * A view of off-heap memory as an array of up to four dimensions, row-major. Rows may be further
 * apart than they are long ({@link #rowStride()}), so that a slice of columns is a view too.
 *
 * <p>A tensor owns nothing: the memory belongs to an arena, a mapped file or a {@code
 * DeviceMemory}, and lives as long as that. Memory of another device is a segment that carries the
 * device's address and can be sliced but not read here; {@link #isHost()} tells.
 */
public final class Tensor {
  private final MemorySegment memory;
  private final DType dtype;
  private final long[] shape;
  private final long rowStride;
  private final boolean host;

  private Tensor(MemorySegment memory, DType dtype, long[] shape, long rowStride, boolean host) {
    this.memory = memory;
    this.dtype = dtype;
    this.shape = shape;
    this.rowStride = rowStride;
    this.host = host;
  }

  /**
   * A contiguous tensor over host memory.
   *
   * @param memory at least {@code product(shape) * dtype.bytes()} bytes; any alignment
   * @param shape sizes, outermost first; none for a scalar
   */
  public static Tensor of(MemorySegment memory, DType dtype, long... shape) {
    return create(memory, dtype, shape.clone(), true);
  }

  /** A contiguous tensor over memory of a device that the host cannot address. */
  public static Tensor onDevice(MemorySegment address, DType dtype, long... shape) {
    return create(address, dtype, shape.clone(), false);
  }

  private static Tensor create(MemorySegment memory, DType dtype, long[] shape, boolean host) {
    long bytes = Math.multiplyExact(elements(shape), dtype.bytes());
    if (memory.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "%s%s needs %d bytes, the memory holds %d"
              .formatted(dtype, Arrays.toString(shape), bytes, memory.byteSize()));
    }
    long rowStride = shape.length == 0 ? 1 : shape[shape.length - 1];
    return new Tensor(memory.asSlice(0, bytes), dtype, shape, rowStride, host);
  }

  /** The number of elements of a shape; fails where it passes 2^63. */
  public static long elements(long... shape) {
    long elements = 1;
    for (long size : shape) {
      if (size < 0) {
        throw new IllegalArgumentException("negative size in " + Arrays.toString(shape));
      }
      elements = Math.multiplyExact(elements, size);
    }
    return elements;
  }

  public DType dtype() {
    return dtype;
  }

  /** Sizes, outermost first. */
  public long[] shape() {
    return shape.clone();
  }

  public int rank() {
    return shape.length;
  }

  public long size(int dimension) {
    return shape[dimension];
  }

  public long elements() {
    return elements(shape);
  }

  /** Elements from the start of one row to the start of the next; a row is the last dimension. */
  public long rowStride() {
    return rowStride;
  }

  public boolean isContiguous() {
    return shape.length < 2 || rowStride == shape[shape.length - 1] || elements() == 0;
  }

  /** Bytes of the elements, without the gaps between strided rows. */
  public long bytes() {
    return elements() * dtype.bytes();
  }

  /** True where the host can read and write the memory. */
  public boolean isHost() {
    return host;
  }

  /** The address of the first element, on the device that holds it. */
  public long address() {
    return memory.address();
  }

  /**
   * The memory from the first element on.
   *
   * @throws IllegalStateException if it is not the host's
   */
  public MemorySegment memory() {
    if (!host) {
      throw new IllegalStateException("device memory cannot be read by the host: download it");
    }
    return memory;
  }

  /** Rows {@code from} (inclusive) to {@code to} (exclusive) of the outermost dimension. */
  public Tensor rows(long from, long to) {
    if (shape.length == 0 || from < 0 || to < from || to > shape[0]) {
      throw new IndexOutOfBoundsException(
          "rows %d to %d of %s".formatted(from, to, Arrays.toString(shape)));
    }
    long[] sliced = shape.clone();
    sliced[0] = to - from;
    long step = shape.length == 1 ? 1 : rowStride;
    for (int i = 1; i < shape.length - 1; i++) {
      step *= shape[i];
    }
    long extent = to == from ? 0 : (to - from - 1) * step + (rank() == 2 ? shape[1] : step);
    return new Tensor(slice(from * step, extent), dtype, sliced, rowStride, host);
  }

  /** Columns {@code from} to {@code to} of a matrix, as a view with the same row stride. */
  public Tensor columns(long from, long to) {
    if (shape.length != 2 || from < 0 || to < from || to > shape[1]) {
      throw new IndexOutOfBoundsException(
          "columns %d to %d of %s".formatted(from, to, Arrays.toString(shape)));
    }
    long extent = shape[0] == 0 ? 0 : (shape[0] - 1) * rowStride + to - from;
    return new Tensor(
        slice(from, extent), dtype, new long[] {shape[0], to - from}, rowStride, host);
  }

  /** The memory of so many elements from one on; an empty view may lie behind the last. */
  private MemorySegment slice(long firstElement, long elements) {
    return elements == 0
        ? memory.asSlice(0, 0)
        : memory.asSlice(firstElement * dtype.bytes(), elements * dtype.bytes());
  }

  /** The same elements in another shape; the tensor must be contiguous. */
  public Tensor reshape(long... newShape) {
    if (!isContiguous() || elements(newShape) != elements()) {
      throw new IllegalArgumentException(
          "cannot view %s as %s".formatted(this, Arrays.toString(newShape)));
    }
    return create(memory, dtype, newShape.clone(), host);
  }

  @Override
  public String toString() {
    return dtype
        + Arrays.toString(shape)
        + (isContiguous() ? "" : " rows " + rowStride + " apart")
        + (host ? "" : " on the device");
  }
}
