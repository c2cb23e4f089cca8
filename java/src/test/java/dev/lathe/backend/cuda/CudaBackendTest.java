package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.DeviceTimer;
import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.error.LatheException;
import dev.lathe.model.Batch;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What the backend does when memory runs out, when a kernel goes wrong, and when it is closed. */
@Tag("cuda")
class CudaBackendTest {

  @Test
  void cacheThatDoesNotFitSaysHowManyTokensWould() {
    try (TinyModel model = new TinyModel(1);
        CudaBackend backend = CudaBackend.open();
        Decoder decoder = Decoder.load(model, backend)) {
      long used = backend.pool().usedBytes();
      // 2 layers, keys and values, 2 heads of 10 elements in F32: 320 bytes a token.
      assertThatThrownBy(() -> decoder.newCache(100_000_000, 16))
          .isInstanceOfSatisfying(
              OutOfDeviceMemoryException.class,
              e -> assertThat(e.exitCode()).isEqualTo(LatheException.FAILED))
          .hasMessageContaining("a KV-cache of 1,600,000,000 tokens in F32 needs 512,000,000,000")
          .hasMessageContaining("tokens would fit")
          .hasMessageContaining("Fewer sequences");
      assertThat(backend.pool().usedBytes()).isEqualTo(used);
      assertThat(backend.openMemories()).isEqualTo(1);
      decoder.newCache(4, 16).close(); // the backend goes on
    }
  }

  @Test
  void weightsThatDoNotFitSayWhatTheyNeed() {
    try (TinyModel model = new TinyModel(1);
        CudaBackend backend = CudaBackend.open()) {
      long used = backend.pool().usedBytes();
      DevicePointer everything = takeAllButABit();
      try {
        assertThatThrownBy(() -> Decoder.load(model, backend))
            .isInstanceOf(OutOfDeviceMemoryException.class)
            .hasMessageContaining("out of device memory: the weights of")
            .hasMessageContaining("lathe quantize");
        assertThat(backend.pool().usedBytes()).isEqualTo(used);
        assertThat(backend.openMemories()).isZero();
      } finally {
        assertThat(JCudaDriver.cuMemFree(everything)).isZero();
      }
      Decoder.load(model, backend).close();
    }
  }

  /** All the device's memory but some kilobytes; nothing of it is ever touched. */
  private static DevicePointer takeAllButABit() {
    long[] free = new long[1];
    assertThat(JCudaDriver.cuMemGetInfo(free, new long[1])).isZero();
    DevicePointer pointer = new DevicePointer();
    long left = 16 << 10;
    while (JCudaDriver.cuMemAlloc(pointer, free[0] - left) != 0) {
      left *= 2;
      assertThat(left).isLessThan(free[0]);
    }
    return pointer;
  }

  @Test
  void kernelThatGoesWrongEndsTheRunWithItsName() {
    assumeTrue(
        CudaDriver.kind() == CudaDriver.Kind.EMULATED_CHECKED,
        "the wrong kernels are built for the emulated GPU only");
    try (TinyModel model = new TinyModel(1);
        CudaBackend backend = CudaBackend.open();
        Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(4, 16);
        DeviceMemory memory = backend.allocateMemory();
        KvSequence sequence = cache.newSequence()) {
      Tensor logits = memory.tensor(DType.F32, 1, TinyModel.VOCABULARY);
      Tensor few = memory.tensor(DType.F32, 100);
      backend
          .kernels()
          .get("test/faults", "write_one_past")
          .pointer(few)
          .pointer(few)
          .i32(100)
          .launch(2, 1, 1, 64, 0);
      assertThatThrownBy(
              () -> {
                Batch batch = new Batch().add(sequence, new int[] {1, 2}, Batch.Logits.LAST);
                decoder.forward(batch, cache, logits);
                backend.synchronize();
              })
          .isInstanceOfSatisfying(
              LatheException.class, e -> assertThat(e.exitCode()).isEqualTo(LatheException.FAILED))
          .hasMessageContaining("CUDA_ERROR_ILLEGAL_ADDRESS")
          .hasMessageContaining("kernel write_one_past, block (1,0,0), thread (36,0,0)");
      // Everything closes in spite of it, without another exception.
    }
    try (CudaBackend fresh = CudaBackend.open()) {
      fresh.synchronize();
    }
  }

  @Test
  void closingGivesEverythingBack() {
    long[] before = new long[1];
    long[] after = new long[1];
    try (CudaContext outer = CudaContext.open()) { // keeps the context, whose memory is counted
      outer.enter();
      JCudaDriver.cuMemGetInfo(before, new long[1]);
      try (TinyModel model = new TinyModel(1);
          CudaBackend backend = CudaBackend.open()) {
        Decoder decoder = Decoder.load(model, backend);
        decoder.newCache(4, 16); // neither is closed
        assertThat(backend.openMemories()).isEqualTo(2);
        assertThat(backend.pool().highWaterBytes()).isPositive();
      }
      outer.enter();
      JCudaDriver.cuMemGetInfo(after, new long[1]);
      assertThat(after[0]).isEqualTo(before[0]);
    }
  }

  @Test
  void theDevicesClockSeesWork() {
    try (CudaBackend backend = CudaBackend.open();
        DeviceTimer timer = backend.newTimer().orElseThrow();
        DeviceMemory memory = backend.allocateMemory()) {
      Tensor x = memory.tensor(DType.F32, 100, 1000);
      timer.start();
      backend.scale(x, 2);
      assertThat(timer.stopNanos()).isPositive();
    }
  }
}
