package dev.lathe.backend.cuda;

import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jcuda.driver.JCudaDriver;

/**
 * Tensors on both sides of a kernel's test. Each has an allocation of its own on the device, so
 * that the emulated GPU sees what is read or written beside it, and is not written before {@link
 * #up} does: reading what nobody wrote is seen too.
 */
final class CudaBench implements AutoCloseable {
  final CudaContext context = CudaContext.open();
  final CudaKernels kernels = new CudaKernels(context);
  private final Arena arena = Arena.ofShared();
  private final List<DevicePointer> allocations = new ArrayList<>();
  private final Map<Long, Tensor> workspaces = new HashMap<>();

  Tensor host(DType dtype, long... shape) {
    return Tensor.of(
        arena.allocate(Math.max(1, Tensor.elements(shape) * dtype.bytes()), 64), dtype, shape);
  }

  Tensor integers(int... values) {
    Tensor tensor = host(DType.I32, values.length);
    MemorySegment.copy(values, 0, tensor.memory(), ValueLayout.JAVA_INT, 0, values.length);
    return tensor;
  }

  Tensor integers(List<Integer> values) {
    return integers(values.stream().mapToInt(Integer::intValue).toArray());
  }

  Tensor floats(float... values) {
    Tensor tensor = host(DType.F32, values.length);
    MemorySegment.copy(values, 0, tensor.memory(), ValueLayout.JAVA_FLOAT, 0, values.length);
    return tensor;
  }

  Tensor copy(Tensor host) {
    Tensor copy = host(host.dtype(), host.shape());
    copy.memory().copyFrom(host.memory().asSlice(0, host.bytes()));
    return copy;
  }

  /** On the device, not written yet. */
  Tensor device(DType dtype, long... shape) {
    long bytes = Math.max(1, Tensor.elements(shape) * dtype.bytes());
    DevicePointer pointer = new DevicePointer();
    context.enter();
    context.check(JCudaDriver.cuMemAlloc(pointer, bytes), "cuMemAlloc");
    allocations.add(pointer);
    return Tensor.onDevice(
        MemorySegment.ofAddress(pointer.address()).reinterpret(bytes), dtype, shape);
  }

  Tensor up(Tensor host) {
    Tensor device = device(host.dtype(), host.shape());
    if (host.bytes() > 0) {
      context.check(
          JCudaDriver.cuMemcpyHtoD(
              new DevicePointer(device.address()), new HostPointer(host.memory()), host.bytes()),
          "cuMemcpyHtoD");
    }
    return device;
  }

  Tensor down(Tensor device) {
    Tensor host = host(device.dtype(), device.shape());
    context.synchronize();
    context.check(
        JCudaDriver.cuMemcpyDtoH(
            new HostPointer(host.memory()), new DevicePointer(device.address()), host.bytes()),
        "cuMemcpyDtoH");
    return host;
  }

  /**
   * With memory of its own for each product whose columns are divided; the same for the same size.
   */
  LinearKernels linearKernels() {
    return new LinearKernels(
        kernels,
        context.limits(),
        bytes -> workspaces.computeIfAbsent(bytes, size -> device(DType.U8, size)).address());
  }

  int[] downIntegers(Tensor device) {
    return down(device).memory().toArray(ValueLayout.JAVA_INT);
  }

  static double at(Tensor tensor, long element) {
    return Floats.get(tensor.memory(), tensor.dtype(), element);
  }

  static int integer(Tensor tensor, long element) {
    return tensor.memory().getAtIndex(ValueLayout.JAVA_INT, element);
  }

  /** Orders of threads and blocks to test in; a real GPU has its own. */
  static List<String> orders() {
    return CudaDriver.kind().emulated()
        ? List.of("forward", "reverse", "random:7")
        : List.of("the device's");
  }

  /**
   * Sets the order, and with it how tensor cores add: forward as nobody's, in reverse and at random
   * as those of two generations.
   */
  static void setOrder(String order) {
    if (CudaDriver.kind().emulated()) {
      Emulator emulator = new Emulator();
      emulator.setOrder(order);
      emulator.setSums(
          order.equals("reverse") ? "ampere" : order.startsWith("random") ? "hopper" : "rounded");
    }
  }

  @Override
  public void close() {
    for (DevicePointer pointer : allocations) {
      context.release(JCudaDriver.cuMemFree(pointer), "cuMemFree");
    }
    kernels.close();
    context.close();
    arena.close();
  }
}
