package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** {@code --out} of the verbs that make one checkpoint from another. */
final class OutOption {
  @Option(
      names = {"-o", "--out"},
      required = true,
      paramLabel = "DIR",
      description = "Folder for the new checkpoint; must not exist.")
  private Path out;

  /**
   * The folder.
   *
   * @throws InvalidInputException if it has no name
   */
  Path path() {
    return requireNamed(out);
  }

  /** For verbs with an {@code --out} of their own. */
  static Path requireNamed(Path out) {
    if (out.toString().isBlank()) {
      throw new InvalidInputException("--out '': must be the name of a new folder");
    }
    return out;
  }
}
