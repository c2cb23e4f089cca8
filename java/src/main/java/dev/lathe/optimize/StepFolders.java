package dev.lathe.optimize;

import dev.lathe.error.LatheException;
import dev.lathe.measure.RunFolder;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The models of a run: candidates and the accepted one lie in {@code steps/}, and the accepted one
 * becomes {@code model/} at the end.
 */
final class StepFolders {
  private final Path steps;
  private final Path model;

  StepFolders(RunFolder folder) {
    this.steps = folder.path().resolve("steps");
    this.model = folder.model();
  }

  /** Where a step writes its model. */
  Path path(String name) {
    try {
      Files.createDirectories(steps);
    } catch (IOException e) {
      throw failed(steps, "made", e);
    }
    return steps.resolve(name);
  }

  /** Where the model of an accepted step lies: published already, or not yet. */
  Path accepted(String name) {
    Path step = steps.resolve(name);
    return Files.isDirectory(step) ? step : model;
  }

  /** Removes reverted candidates, superseded models and what an interrupted step has left. */
  void keepOnly(Optional<String> accepted) {
    if (!Files.isDirectory(steps)) {
      return;
    }
    List<Path> others;
    try (Stream<Path> entries = Files.list(steps)) {
      others =
          entries
              .filter(entry ->
                  accepted.isEmpty() || !entry.getFileName().toString().equals(accepted.get()))
              .toList();
    } catch (IOException e) {
      throw failed(steps, "read", e);
    }
    others.forEach(StepFolders::delete);
  }

  /** Makes the accepted step the run's model, in one move. */
  void publish(Optional<String> accepted) {
    if (accepted.isPresent() && Files.isDirectory(steps.resolve(accepted.get()))) {
      try {
        Files.move(steps.resolve(accepted.get()), model, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException e) {
        throw failed(model, "written", e);
      }
    }
    if (Files.isDirectory(steps)) {
      delete(steps);
    }
  }

  /** The run's model, if it has one of its own. */
  Optional<Path> model() {
    return Files.isDirectory(model) ? Optional.of(model) : Optional.empty();
  }

  /** Links are removed, not followed. */
  private static void delete(Path folder) {
    try {
      Files.walkFileTree(
          folder,
          new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes)
                throws IOException {
              Files.delete(file);
              return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult postVisitDirectory(Path visited, IOException failure)
                throws IOException {
              if (failure != null) {
                throw failure;
              }
              Files.delete(visited);
              return FileVisitResult.CONTINUE;
            }
          });
    } catch (IOException e) {
      throw failed(folder, "removed", e);
    }
  }

  private static LatheException failed(Path path, String what, IOException e) {
    return new LatheException(
        LatheException.FAILED, "%s: cannot be %s: %s".formatted(path, what, e.getMessage()), e);
  }
}
