package dev.lathe.files;

import dev.lathe.error.InvalidInputException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The files that come with Lathe: the folder {@code calibration-data} of the checkout, which is
 * found from where the classes lie ({@code java/target/lathe.jar} or {@code java/target/classes}),
 * whatever folder Lathe is started in. Nothing is copied: the weights are mapped as they lie there.
 */
public final class CalibrationData {
  /** What a MODEL is called that names the model that comes with Lathe. */
  public static final String EMBEDDED = "embedded";

  private static final String FOLDER = "calibration-data";

  /** From {@code java/target/lathe.jar} to the checkout; further up, a folder is someone else's. */
  private static final int LEVELS = 3;

  private CalibrationData() {}

  /**
   * The checkpoint of the embedded default.
   *
   * @throws InvalidInputException if it is not there; says where it should be
   */
  public static Path embeddedModel() {
    return file(EMBEDDED, "the embedded model");
  }

  /**
   * A file or folder that comes with Lathe.
   *
   * @param relative below {@code calibration-data}
   * @param what it is called in the message
   * @throws InvalidInputException if it is not there; says where it should be
   */
  public static Path file(String relative, String what) {
    return find(classes(), relative, what);
  }

  static Path find(Path classes, String relative, String what) {
    Optional<Path> folder = folder(classes);
    Optional<Path> file = folder.map(f -> f.resolve(relative)).filter(Files::exists);
    return file.orElseThrow(() ->
        new InvalidInputException(
            "%s comes with a checkout of Lathe and is not there: %s; run scripts/lathe of a whole"
                    .formatted(
                        what,
                        folder
                            .map(f -> "no " + f.resolve(relative))
                            .orElse("no folder %s above %s".formatted(FOLDER, classes)))
                + " checkout, or name a model (--model) and a text (--text) of your own"));
  }

  private static Optional<Path> folder(Path classes) {
    Path at = classes.getParent();
    for (int level = 0; level < LEVELS && at != null; level++, at = at.getParent()) {
      if (Files.isDirectory(at.resolve(FOLDER))) {
        return Optional.of(at.resolve(FOLDER));
      }
    }
    return Optional.empty();
  }

  private static Path classes() {
    try {
      return Path.of(
              CalibrationData.class.getProtectionDomain().getCodeSource().getLocation().toURI())
          .toAbsolutePath()
          .normalize();
    } catch (URISyntaxException e) {
      throw new IllegalStateException("class path with a broken address", e);
    }
  }
}
