package dev.lathe.cli;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A folder for what comes between two steps of a verb; it goes with the verb, also by Ctrl-C. */
record Workspace(Path path) implements AutoCloseable {

  static Workspace create() {
    try {
      return new Workspace(Files.createTempDirectory("lathe-"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public void close() {
    try {
      List<Path> files;
      try (Stream<Path> tree = Files.walk(path)) {
        files = tree.sorted(Comparator.reverseOrder()).toList();
      }
      for (Path file : files) {
        Files.deleteIfExists(file);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
