package dev.lathe.measure;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Which Lathe this is.
 *
 * @param version of the jar; {@code development} where classes run from a build folder
 * @param commit of the git checkout that the classes were built in, if it can be found
 */
public record BuildVersion(String version, Optional<String> commit) {

  /** The running one. The system property {@code lathe.commit} wins over what a checkout says. */
  public static BuildVersion running() {
    String version = BuildVersion.class.getPackage().getImplementationVersion();
    Optional<String> commit =
        Optional.ofNullable(System.getProperty("lathe.commit"))
            .or(() -> codeSource().flatMap(BuildVersion::commitOf));
    return new BuildVersion(version == null ? "development" : version, commit);
  }

  private static Optional<Path> codeSource() {
    try {
      return Optional.of(
          Path.of(BuildVersion.class.getProtectionDomain().getCodeSource().getLocation().toURI()));
    } catch (URISyntaxException e) {
      throw new IllegalStateException("class path with a broken address", e);
    }
  }

  /** The commit that is checked out in the folder or the nearest one above that is a checkout. */
  static Optional<String> commitOf(Path folder) {
    for (Path at = folder.toAbsolutePath(); at != null; at = at.getParent()) {
      Path git = at.resolve(".git");
      if (Files.isDirectory(git)) {
        return head(git, git);
      }
      if (Files.isRegularFile(git)) {
        Path own = at.resolve(read(git).replaceFirst("^gitdir:", "").strip());
        Path shared =
            Files.isRegularFile(own.resolve("commondir"))
                ? own.resolve(read(own.resolve("commondir")).strip()).normalize()
                : own;
        return head(own, shared);
      }
    }
    return Optional.empty();
  }

  private static Optional<String> head(Path own, Path shared) {
    if (!Files.isRegularFile(own.resolve("HEAD"))) {
      return Optional.empty();
    }
    String head = read(own.resolve("HEAD")).strip();
    if (!head.startsWith("ref:")) {
      return Optional.of(head);
    }
    String ref = head.substring("ref:".length()).strip();
    if (Files.isRegularFile(shared.resolve(ref))) {
      return Optional.of(read(shared.resolve(ref)).strip());
    }
    if (!Files.isRegularFile(shared.resolve("packed-refs"))) {
      return Optional.empty();
    }
    return read(shared.resolve("packed-refs"))
        .lines()
        .filter(line -> line.endsWith(" " + ref))
        .map(line -> line.substring(0, line.indexOf(' ')))
        .findFirst();
  }

  private static String read(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    }
  }
}
