package dev.lathe.backend.cpu;

import dev.lathe.backend.Backend;
import dev.lathe.backend.Checks;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What both sets of CPU kernels share: the device's memory is the host's. */
abstract class HostBackend implements Backend {
  private static final Logger log = LoggerFactory.getLogger(HostBackend.class);

  private int openMemories;

  @Override
  public final String name() {
    return "cpu";
  }

  /** Memories that were allocated and not closed: what a leak check looks at. */
  public final int openMemories() {
    return openMemories;
  }

  @Override
  public final DeviceMemory allocateMemory() {
    openMemories++;
    return newMemory();
  }

  abstract CpuMemory newMemory();

  final void memoryClosed() {
    openMemories--;
  }

  final void reportLeaks() {
    if (openMemories > 0) {
      log.warn("the CPU backend was closed while {} of its memories were open", openMemories);
    }
  }

  @Override
  public final Tensor placeF32(Tensor host, DeviceMemory memory) {
    Tensor placed = memory.tensor(DType.F32, host.shape());
    Tensor source = host.reshape(host.elements());
    if (host.dtype() == DType.F32) {
      upload(source.memory(), placed);
      return placed;
    }
    for (long i = 0; i < source.elements(); i++) {
      float value = Floats.get(source.memory(), source.dtype(), i);
      placed.memory().setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
    }
    return placed;
  }

  @Override
  public final void upload(MemorySegment host, Tensor device) {
    Checks.transfer(host.byteSize(), device);
    synchronize();
    device.memory().asSlice(0, device.bytes()).copyFrom(host);
  }

  @Override
  public final void download(Tensor device, MemorySegment host) {
    Checks.transfer(host.byteSize(), device);
    synchronize();
    host.copyFrom(device.memory().asSlice(0, device.bytes()));
  }
}
