package dev.lathe.backend.cuda;

import static dev.lathe.backend.cuda.TestDevice.check;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jcuda.Pointer;
import jcuda.driver.CUDA_MEMCPY2D;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUmemorytype;
import jcuda.driver.CUpointer_attribute;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Memory of the device and the host, and what the device says of itself. */
@Tag("cuda")
class EmulatedMemoryTest {
  private Emulator emulator;
  private TestDevice device;
  private CUstream stream;

  @BeforeEach
  void openDevice() {
    emulator = CheckedEmulator.fresh();
    device = new TestDevice();
    stream = new CUstream();
    check(JCudaDriver.cuStreamCreate(stream, 1));
  }

  @AfterEach
  void closeDevice() {
    if (device != null) {
      device.close();
    }
  }

  @Test
  void memoryRunsOutAtTheDevicesSize() {
    long total = memory()[1];
    long free = memory()[0];
    assertThat(free).isEqualTo(total);
    // Address space only: nobody touches it, so this costs no memory.
    CUdeviceptr half = device.allocate(total / 2);
    assertThat(memory()[0]).isEqualTo(total - total / 2);
    CUdeviceptr more = new CUdeviceptr();
    assertThat(JCudaDriver.cuMemAlloc(more, total - total / 2 + 1)).isEqualTo(2);
    assertThat(CUresult.stringFor(2)).isEqualTo("CUDA_ERROR_OUT_OF_MEMORY");
    // It is no fault: the context goes on, and what fits is given.
    check(JCudaDriver.cuMemAlloc(more, total - total / 2));
    assertThat(memory()[0]).isZero();
    check(JCudaDriver.cuMemFree(half));
    check(JCudaDriver.cuMemFree(more));
    assertThat(memory()[0]).isEqualTo(free);
    // Pinned memory is the host's.
    device.pinned(1 << 20);
    assertThat(memory()[0]).isEqualTo(free);
  }

  /**
   * A large allocation is poisoned and checked like a small one, though it costs only what is used.
   */
  @Test
  void largeAllocationIsPoisonedWithoutTakingMemory() {
    long bytes = 8L << 30;
    CUdeviceptr large = device.allocate(bytes);
    CUdeviceptr middle = large.withByteOffset(bytes / 2);
    int[] word = {0};
    check(JCudaDriver.cuMemcpyDtoH(Pointer.to(word), middle, 4));
    assertThat(word[0]).isEqualTo(-1);
    float[] values = new float[64];
    Arrays.fill(values, 1);
    check(JCudaDriver.cuMemcpyHtoD(middle, Pointer.to(values), 4L * values.length));
    CUfunction sum = device.function("test/faults", "block_sum_right");
    CUdeviceptr out = device.allocate(4);
    check(device.run(sum, 1, 64, 0, Pointer.to(out), Pointer.to(middle)));
    assertThat(device.downloadFloats(out, 1)).containsExactly(64);
    CUdeviceptr unwritten = large.withByteOffset(bytes / 4);
    assertThat(device.run(sum, 1, 64, 0, Pointer.to(out), Pointer.to(unwritten))).isEqualTo(719);
    assertThat(emulator.lastReport()).contains("uninitialized read");
  }

  @Test
  void allocationsInAStreamLiveAndEndInItsOrder() {
    long free = memory()[0];
    CUdeviceptr buffer = new CUdeviceptr();
    check(JCudaDriver.cuMemAllocAsync(buffer, 256, stream));
    check(JCudaDriver.cuMemsetD32Async(buffer, 7, 64, stream));
    check(JCudaDriver.cuMemFreeAsync(buffer, stream));
    assertThat(JCudaDriver.cuMemFreeAsync(buffer, stream)).as("freed twice").isEqualTo(1);
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(memory()[0]).isEqualTo(free);
    assertThat(JCudaDriver.cuMemsetD32Async(buffer, 7, 64, stream)).as("freed").isEqualTo(1);
  }

  /** Memory that is freed in its stream is there for who asks next, though nobody has waited. */
  @Test
  void freedMemoryIsFoundWhenItIsNeeded() {
    long total = memory()[1];
    CUdeviceptr buffer = new CUdeviceptr();
    for (int i = 0; i < 3; i++) {
      check(JCudaDriver.cuMemAllocAsync(buffer, total, stream));
      check(JCudaDriver.cuMemFreeAsync(buffer, stream));
    }
    check(JCudaDriver.cuStreamSynchronize(stream));
  }

  @Test
  void registeredMemoryOfTheHostIsPinned() {
    ByteBuffer buffer = ByteBuffer.allocateDirect(256).order(ByteOrder.nativeOrder());
    Pointer host = Pointer.to(buffer);
    CUdeviceptr target = device.allocate(4);
    check(JCudaDriver.cuMemHostRegister(host, 256, 0));
    assertThat(JCudaDriver.cuMemHostRegister(host, 256, 0)).isEqualTo(712);
    buffer.putFloat(0, 1);
    check(JCudaDriver.cuMemcpyHtoDAsync(target, host, 4, stream));
    buffer.putFloat(0, 2); // read when the copy's turn comes
    check(JCudaDriver.cuStreamSynchronize(stream));
    assertThat(device.downloadFloats(target, 1)).containsExactly(2);

    CUdeviceptr mapped = new CUdeviceptr();
    check(JCudaDriver.cuMemHostGetDevicePointer(mapped, host, 0));
    for (int i = 0; i < 64; i++) {
      buffer.putFloat(4 * i, 1);
    }
    CUfunction sum = device.function("test/faults", "block_sum_right");
    check(device.run(sum, 1, 64, 0, Pointer.to(target), Pointer.to(mapped)));
    assertThat(device.downloadFloats(target, 1)).containsExactly(64);
    check(JCudaDriver.cuMemHostUnregister(host));
    assertThat(JCudaDriver.cuMemHostUnregister(host)).isEqualTo(713);
  }

  @Test
  void boxIsCopiedByRows() {
    float[] source = new float[24]; // 4 rows of 6
    for (int i = 0; i < source.length; i++) {
      source[i] = i;
    }
    CUdeviceptr target = device.upload(new float[9]); // 3 rows of 3
    CUDA_MEMCPY2D copy = new CUDA_MEMCPY2D();
    copy.srcMemoryType = CUmemorytype.CU_MEMORYTYPE_HOST;
    copy.srcHost = Pointer.to(source);
    copy.srcPitch = 24;
    copy.srcXInBytes = 8;
    copy.srcY = 1;
    copy.dstMemoryType = CUmemorytype.CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = target;
    copy.dstPitch = 12;
    copy.dstXInBytes = 4;
    copy.WidthInBytes = 8;
    copy.Height = 3;
    check(JCudaDriver.cuMemcpy2D(copy));
    assertThat(device.downloadFloats(target, 9)).containsExactly(0, 8, 9, 0, 14, 15, 0, 20, 21);
    copy.Height = 4;
    assertThat(JCudaDriver.cuMemcpy2D(copy)).as("a row past the end").isEqualTo(1);
  }

  @Test
  void pointersAreKnown() {
    CUdeviceptr buffer = device.allocate(256);
    Pointer pinned = device.pinned(256);
    assertThat(pointerType(buffer)).isEqualTo(CUmemorytype.CU_MEMORYTYPE_DEVICE);
    CUdeviceptr mapped = new CUdeviceptr();
    check(JCudaDriver.cuMemHostGetDevicePointer(mapped, pinned, 0));
    assertThat(pointerType(mapped)).isEqualTo(CUmemorytype.CU_MEMORYTYPE_HOST);
    CUdeviceptr start = new CUdeviceptr();
    long[] bytes = {0};
    check(JCudaDriver.cuMemGetAddressRange(start, bytes, buffer.withByteOffset(100)));
    assertThat(bytes[0]).isEqualTo(256);
    assertThat(start).isEqualTo(buffer);
  }

  @Test
  void deviceHasTheLimitsOfComputeCapability9() {
    CUdevice gpu = new CUdevice();
    check(JCudaDriver.cuDeviceGet(gpu, 0));
    Map<Integer, Integer> limits = new HashMap<>();
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 1024);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 132);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, 227 << 10);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_WARP_SIZE, 32);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 9);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X, Integer.MAX_VALUE);
    limits.put(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z, 65535);
    limits.forEach((attribute, expected) -> {
      int[] value = {0};
      check(JCudaDriver.cuDeviceGetAttribute(value, attribute, gpu));
      assertThat(value[0]).isEqualTo(expected);
    });
  }

  @Test
  void sharedMemoryIsRaisedByTheKernelsAttribute() {
    // Without static shared memory, which would have to fit too; one block doesn't collide.
    CUfunction function = device.function("test/faults", "blocks_collide");
    float[] ones = new float[64];
    CUdeviceptr in = device.upload(ones);
    CUdeviceptr out = device.allocate(4L * ones.length);
    List<Pointer> arguments = List.of(Pointer.to(out), Pointer.to(in));
    int attribute = CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    Pointer[] passed = arguments.toArray(Pointer[]::new);
    assertThat(device.run(function, 1, 64, 227 << 10, passed)).isEqualTo(1);
    assertThat(JCudaDriver.cuFuncSetAttribute(function, attribute, (227 << 10) + 1)).isEqualTo(1);
    check(JCudaDriver.cuFuncSetAttribute(function, attribute, 227 << 10));
    int[] value = {0};
    check(JCudaDriver.cuFuncGetAttribute(value, attribute, function));
    assertThat(value[0]).isEqualTo(227 << 10);
    check(device.run(function, 1, 64, 227 << 10, passed));
    int[] blocks = {0};
    check(JCudaDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, 64, 227 << 10));
    assertThat(blocks[0]).isEqualTo(1);
    check(JCudaDriver.cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, 256, 0));
    assertThat(blocks[0]).isEqualTo(8);
  }

  private static int pointerType(CUdeviceptr pointer) {
    int[] type = {0};
    check(
        JCudaDriver.cuPointerGetAttribute(
            Pointer.to(type), CUpointer_attribute.CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pointer));
    return type[0];
  }

  private static long[] memory() {
    long[] free = {0};
    long[] total = {0};
    check(JCudaDriver.cuMemGetInfo(free, total));
    return new long[] {free[0], total[0]};
  }
}
