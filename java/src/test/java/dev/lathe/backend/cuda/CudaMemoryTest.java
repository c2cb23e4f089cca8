package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Tensors of the device, and what is copied to and from them. */
@Tag("cuda")
class CudaMemoryTest {
  private CudaContext context;
  private CudaPool pool;
  private CudaTransfers transfers;

  @BeforeEach
  void open() {
    context = CudaContext.open();
    pool = CudaMemory.newPool(context);
    transfers = new CudaTransfers(context);
  }

  @AfterEach
  void close() {
    transfers.close();
    pool.close();
    context.close();
  }

  private CudaMemory memory() {
    return new CudaMemory(context, pool, closed -> {});
  }

  /** Shorter than a copy buffer, just as long, a byte longer, and several of them. */
  @ParameterizedTest
  @ValueSource(longs = {0, 1, 4093, 8L << 20, (8L << 20) + 1, (40L << 20) + 12_345})
  void whatIsUploadedIsDownloaded(long bytes) {
    try (CudaMemory memory = memory();
        Arena arena = Arena.ofConfined()) {
      Tensor tensor = memory.tensor(DType.U8, bytes);
      assertThat(tensor.isHost()).isFalse();
      assertThat(tensor.address() % 64).isZero();
      MemorySegment out = arena.allocate(Math.max(1, bytes)).asSlice(0, bytes).fill((byte) 7);
      transfers.download(tensor.address(), out);
      assertThat(out.mismatch(arena.allocate(Math.max(1, bytes)).asSlice(0, bytes)))
          .as("a tensor is zeroed")
          .isEqualTo(-1);

      MemorySegment in = arena.allocate(Math.max(1, bytes)).asSlice(0, bytes);
      for (long i = 0; i < bytes; i++) {
        in.set(ValueLayout.JAVA_BYTE, i, (byte) (i * 31 + (i >> 12)));
      }
      transfers.upload(in, tensor.address());
      transfers.download(tensor.address(), out);
      assertThat(out.mismatch(in)).isEqualTo(-1);
    }
    assertThat(pool.pieceCount()).isZero();
  }

  @Test
  void hostMayBeChangedAsSoonAsAnUploadReturns() {
    try (CudaMemory memory = memory();
        Arena arena = Arena.ofConfined()) {
      Tensor tensor = memory.tensor(DType.I32, 3);
      MemorySegment numbers = arena.allocate(12, 4);
      for (int i = 0; i < 5; i++) {
        numbers.fill((byte) i);
        transfers.upload(numbers, tensor.address());
      }
      numbers.fill((byte) 99);
      transfers.download(tensor.address(), numbers);
      assertThat(numbers.get(ValueLayout.JAVA_INT, 8)).isEqualTo(0x04040404);
    }
  }

  @Test
  void memoryThatIsNotThereIsSaidInOneMessage() {
    try (CudaMemory memory = memory()) {
      memory.tensor(DType.F32, 1000);
      assertThatThrownBy(() -> memory.tensor(DType.F32, 1L << 30, 1L << 14))
          .isInstanceOfSatisfying(
              OutOfDeviceMemoryException.class,
              e -> {
                assertThat(e.exitCode()).isEqualTo(LatheException.FAILED);
                assertThat(e.freeBytes()).isPositive();
              })
          .hasMessageContaining("F32[1073741824, 16384] needs 70,368,744,177,664 bytes")
          .hasMessageContaining("are free")
          .hasMessageContaining("rows would fit")
          .hasMessageContaining("smaller batch");
      assertThat(memory.bytes()).isEqualTo(4000);
    }
    assertThat(pool.usedBytes()).isZero();
    assertThat(pool.highWaterBytes()).isBetween(4000L, 4096L);
  }

  @Test
  void closedMemoryGivesNothing() {
    CudaMemory memory = memory();
    memory.close();
    memory.close();
    assertThatThrownBy(() -> memory.tensor(DType.F32, 1)).isInstanceOf(IllegalStateException.class);
  }
}
