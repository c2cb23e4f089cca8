package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Files beyond what an int can address: mapped, with holes, so that they cost no disk. */
class LargeFileTest {
  private static final long ROWS = 525_001;
  private static final long COLS = 1024;

  @TempDir Path folder;

  private Path sparse(DType dtype, float last) throws Exception {
    SafetensorsFixture.config(folder);
    long bytes = ROWS * COLS * dtype.bytes();
    byte[] json =
        "{\"w\":{\"dtype\":\"%s\",\"shape\":[%d,%d],\"data_offsets\":[0,%d]}}"
            .formatted(dtype, ROWS, COLS, bytes)
            .getBytes(StandardCharsets.UTF_8);
    Path file = folder.resolve("model.safetensors");
    Files.deleteIfExists(file);
    MemorySegment value = Arena.ofAuto().allocate(dtype.bytes());
    Floats.set(value, dtype, 0, last);
    try (FileChannel channel =
        FileChannel.open(
            file,
            StandardOpenOption.CREATE_NEW,
            StandardOpenOption.WRITE,
            StandardOpenOption.SPARSE)) {
      ByteBuffer header = ByteBuffer.allocate(8 + json.length).order(ByteOrder.LITTLE_ENDIAN);
      channel.write(header.putLong(json.length).put(json).flip());
      channel.write(value.asByteBuffer(), 8 + json.length + bytes - dtype.bytes());
    }
    return file;
  }

  private static long heapAllocatedBytes() {
    return ((com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean())
        .getCurrentThreadAllocatedBytes();
  }

  @Test
  void aFileOver2GigabytesIsMappedAndNotCopied() throws Exception {
    Path file = sparse(DType.F32, 42);
    assertThat(Files.size(file)).isGreaterThan(1L << 31);
    assertThat(usedKilobytes(file)).as("it must be a hole").isLessThan(1024);
    // Once to load the classes.
    Checkpoints.open(folder).close();
    long before = heapAllocatedBytes();
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      Tensor w = checkpoint.tensor("w");
      assertThat(w.bytes()).isEqualTo(ROWS * COLS * 4);
      float last =
          w.rows(ROWS - 1, ROWS).memory().get(ValueLayout.JAVA_FLOAT_UNALIGNED, 4 * (COLS - 1));
      assertThat(last).isEqualTo(42f);
      assertThat(Floats.get(w.memory(), DType.F32, ROWS * COLS - 1)).isEqualTo(42f);
      assertThat(Floats.get(w.memory(), DType.F32, (1L << 29) + 5)).isZero();
      assertThat(checkpoint.fileBytes()).isEqualTo(Files.size(file));
      assertThat(w.memory().isMapped()).isTrue();
    }
    assertThat(heapAllocatedBytes() - before).isLessThan(4 << 20);
  }

  private static long usedKilobytes(Path file) throws Exception {
    Process du = new ProcessBuilder("du", "-k", file.toString()).start();
    String out = new String(du.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(du.waitFor()).isZero();
    return Long.parseLong(out.substring(0, out.indexOf(9)));
  }

  @Test
  void theLastValueOfALargeTensorIsChecked() throws Exception {
    sparse(DType.F32, Float.NaN);
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThatThrownBy(() -> CheckpointValidation.requireFinite(checkpoint))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("w has NaN in row 525000, column 1023");
    }
  }
}
