package dev.lathe.checkpoint;

import dev.lathe.Interruptible;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Another process that writes a checkpoint, for tests that end it or fill its disk. */
final class WriterProcess {
  static final String WRITING = "writing";
  private static final int GROUPS = 400;
  private static final int GROUP_BYTES = 1 << 20;

  private WriterProcess() {}

  /** {@code java WriterProcess FOLDER [FILLER]}: where there is a filler, it fills the disk. */
  public static void main(String[] arguments) {
    CheckpointWriter writer = CheckpointWriter.create(Path.of(arguments[0]));
    writer.config(StrictJson.mapper().createObjectNode());
    boolean fill = arguments.length > 1;
    for (int group = 0; group < (fill ? 2 : GROUPS); group++) {
      boolean last = group == 1;
      writer.group(
          List.of(TensorInfo.of("t" + group, DType.U8, GROUP_BYTES)),
          () -> {
            if (fill && last) {
              fill(Path.of(arguments[1]));
            }
            return List.of(Tensor.of(Arena.ofAuto().allocate(GROUP_BYTES), DType.U8, GROUP_BYTES));
          });
    }
    try {
      writer.write(bytes -> announce(bytes, fill));
    } catch (LatheException e) {
      System.out.println(e.getMessage());
      System.exit(e.exitCode());
    }
  }

  private static void announce(long bytes, boolean fill) {
    if (bytes == 3 * GROUP_BYTES) {
      System.out.println(WRITING);
    }
    if (!fill) {
      java.util.concurrent.locks.LockSupport.parkNanos(20_000_000);
    }
  }

  private static void fill(Path filler) {
    byte[] block = new byte[1 << 16];
    try (OutputStream out = Files.newOutputStream(filler)) {
      while (true) {
        out.write(block);
      }
    } catch (IOException full) {
      if (!String.valueOf(full.getMessage()).contains("No space left")) {
        throw new UncheckedIOException(full);
      }
    }
  }

  /** The command that runs this in a Java process of its own. */
  static List<String> command(String... arguments) {
    return java.util.stream.Stream.concat(
            java.util.stream.Stream.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xshare:auto",
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                WriterProcess.class.getName()),
            java.util.stream.Stream.of(arguments))
        .toList();
  }

  /** Starts it and returns when it is in the middle of writing. */
  static Process start(Path folder) throws IOException {
    Process process =
        new ProcessBuilder(Interruptible.command(command(folder.toString())))
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start();
    BufferedReader out =
        new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
    String line = out.readLine();
    if (!WRITING.equals(line)) {
      process.destroyForcibly();
      throw new IllegalStateException("the writing process said " + line);
    }
    return process;
  }
}
