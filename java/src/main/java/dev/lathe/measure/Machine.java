package dev.lathe.measure;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The machine that a figure was measured on.
 *
 * @param cores processors that this process may use
 * @param memoryBytes main memory
 */
public record Machine(String host, String cpu, int cores, long memoryBytes, String os, String jdk) {
  private static final Path PROC = Path.of("/proc");

  /**
   * What this process runs on; a fact that the system does not tell is "unknown", never a guess.
   */
  public static Machine here() {
    return new Machine(
        firstLine(PROC.resolve("sys/kernel/hostname")).orElse("unknown"),
        field(PROC.resolve("cpuinfo"), "model name").orElse("unknown"),
        Runtime.getRuntime().availableProcessors(),
        field(PROC.resolve("meminfo"), "MemTotal").map(Machine::kibibytes).orElse(0L),
        "%s %s %s"
            .formatted(
                System.getProperty("os.name"),
                System.getProperty("os.version"),
                System.getProperty("os.arch")),
        "%s %s".formatted(System.getProperty("java.vendor"), Runtime.version()));
  }

  private static long kibibytes(String field) {
    return Long.parseLong(field.replace(" kB", "").strip()) * 1024;
  }

  private static Optional<String> firstLine(Path file) {
    return lines(file).flatMap(text -> text.lines().findFirst());
  }

  private static Optional<String> field(Path file, String key) {
    Stream<String> lines = lines(file).stream().flatMap(String::lines);
    return lines
        .filter(line -> line.startsWith(key) && line.contains(":"))
        .map(line -> line.substring(line.indexOf(':') + 1).strip())
        .findFirst();
  }

  private static Optional<String> lines(Path file) {
    if (!Files.isReadable(file)) {
      return Optional.empty();
    }
    try {
      return Optional.of(Files.readString(file));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
  }
}
