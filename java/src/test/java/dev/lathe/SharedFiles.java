package dev.lathe;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/**
 * Real models and data that tests may use where the folder {@code lathe.shared} has them; a test
 * that needs one that is absent is skipped and says so.
 */
public final class SharedFiles {
  private SharedFiles() {}

  /** The file or folder {@code relative} of the shared folder. */
  public static Path require(String relative) {
    Path path = Path.of(System.getProperty("lathe.shared", "../../shared")).resolve(relative);
    Assumptions.assumeTrue(
        Files.exists(path), "skipped: " + path.normalize() + " is not on this machine");
    return path;
  }
}
