package dev.lathe.backend;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.random.RandomGenerator;

/** Memory on both sides of one comparison: makes host tensors, moves them to a backend and back. */
final class Bench implements AutoCloseable {
  final Backend backend;
  final RandomGenerator random;
  private final Arena arena = Arena.ofShared();
  private final DeviceMemory memory;

  Bench(Backend backend, RandomGenerator random) {
    this.backend = backend;
    this.random = random;
    this.memory = backend.allocateMemory();
  }

  /** What the bound on the error of one element of a matrix is. */
  interface Bound {
    double at(long row, long col);
  }

  Tensor empty(DType dtype, long... shape) {
    return Tensor.of(
        arena.allocate(Tensor.elements(shape) * dtype.bytes(), dtype.bytes()), dtype, shape);
  }

  /** As mapped files have them: an odd address. */
  Tensor unaligned(DType dtype, long... shape) {
    MemorySegment memory = arena.allocate(Tensor.elements(shape) * dtype.bytes() + 1, 64);
    return Tensor.of(memory.asSlice(1), dtype, shape);
  }

  /** Normally distributed floats. */
  Tensor normal(long... shape) {
    return fill(empty(DType.F32, shape), 1);
  }

  Tensor fill(Tensor tensor, double deviation) {
    for (long i = 0; i < tensor.elements(); i++) {
      Floats.set(tensor.memory(), tensor.dtype(), i, (float) (deviation * random.nextGaussian()));
    }
    return tensor;
  }

  Tensor integers(int... values) {
    Tensor tensor = empty(DType.I32, values.length);
    MemorySegment.copy(
        values, 0, tensor.memory(), ValueLayout.JAVA_INT_UNALIGNED, 0, values.length);
    return tensor;
  }

  Tensor floats(long rows, long cols, double... values) {
    Tensor tensor = empty(DType.F32, rows, cols);
    for (int i = 0; i < values.length; i++) {
      Floats.set(tensor.memory(), DType.F32, i, (float) values[i]);
    }
    return tensor;
  }

  Tensor copy(Tensor host) {
    Tensor copy = empty(host.dtype(), host.shape());
    copy.memory().copyFrom(host.memory().asSlice(0, host.bytes()));
    return copy;
  }

  /** The same bytes on the backend's device. */
  Tensor up(Tensor host) {
    Tensor device = memory.tensor(host.dtype(), host.shape());
    backend.upload(host.memory().asSlice(0, host.bytes()), device);
    return device;
  }

  Tensor down(Tensor device) {
    Tensor host = empty(device.dtype(), device.shape());
    backend.download(device, host.memory());
    return host;
  }

  Tensor device(DType dtype, long... shape) {
    return memory.tensor(dtype, shape);
  }

  Weight place(Weight weight) {
    return backend.place(weight, memory);
  }

  /** Every element within its bound; a result that is not a number never is. */
  static void assertClose(String what, Tensor actual, Tensor expected, Bound bound) {
    assertThat(actual.shape()).as(what).isEqualTo(expected.shape());
    long cols = expected.size(expected.rank() - 1);
    for (long i = 0; i < expected.elements(); i++) {
      double is = Floats.get(actual.memory(), actual.dtype(), i);
      double should = Floats.get(expected.memory(), expected.dtype(), i);
      double allowed = bound.at(i / cols, i % cols);
      if (!(Math.abs(is - should) <= allowed)) {
        throw new AssertionError(
            "%s: [%d, %d] is %s, should be %s within %s"
                .formatted(what, i / cols, i % cols, is, should, allowed));
      }
    }
  }

  static void assertSame(String what, Tensor actual, Tensor expected) {
    assertClose(what, actual, expected, (row, col) -> 0);
  }

  static double at(Tensor matrix, long row, long col) {
    return Floats.get(matrix.memory(), matrix.dtype(), row * matrix.rowStride() + col);
  }

  @Override
  public void close() {
    memory.close();
    arena.close();
  }
}
