package dev.lathe.files;

import dev.lathe.error.IoReason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Files out of jars that are of use as files only: shared libraries, CUDA modules. They lie in
 * {@code ~/.cache/lathe}, or below where {@code XDG_CACHE_HOME} says, for the next process too;
 * where that cannot be written, in a folder of this process, and a warning says so.
 */
public final class Unpacked {
  private static final Logger log = LoggerFactory.getLogger(Unpacked.class);

  private static Path temporary;

  private Unpacked() {}

  /** What is unpacked. */
  @FunctionalInterface
  public interface Content {
    InputStream open() throws IOException;
  }

  /**
   * A file, unpacked now or before.
   *
   * @param folder below the cache; another content needs another folder, so that versions never mix
   * @param name of the file, kept because the dynamic linker compares it
   * @param bytes its length: a file of another one is replaced
   * @throws IOException if it can be written nowhere; names both places
   */
  public static Path file(String folder, String name, long bytes, Content content)
      throws IOException {
    return file(cache(), folder, name, bytes, content);
  }

  static Path file(Path cache, String folder, String name, long bytes, Content content)
      throws IOException {
    try {
      return into(cache.resolve(folder), name, bytes, content);
    } catch (IOException unwritable) {
      String why = cache + " cannot be written (" + IoReason.of(unwritable) + ")";
      try {
        Path own = ofThisProcess(why).resolve(folder.replace('/', '-'));
        Path file = into(own, name, bytes, content);
        // The last one named is the first to be removed.
        own.toFile().deleteOnExit();
        file.toFile().deleteOnExit();
        return file;
      } catch (IOException nowhere) {
        IOException both =
            new IOException(
                "%s, nor can a temporary folder (%s); XDG_CACHE_HOME names another place"
                    .formatted(why, IoReason.of(nowhere)));
        both.addSuppressed(unwritable);
        both.addSuppressed(nowhere);
        throw both;
      }
    }
  }

  /** Made when it is first needed, which is said once. */
  private static synchronized Path ofThisProcess(String why) throws IOException {
    if (temporary == null) {
      temporary = Files.createTempDirectory("lathe-");
      temporary.toFile().deleteOnExit();
      log.warn(
          "{}: what Lathe unpacks is there for this run only; XDG_CACHE_HOME names another place",
          why);
    }
    return temporary;
  }

  private static Path cache() {
    String xdg = System.getenv("XDG_CACHE_HOME");
    Path base =
        xdg == null || xdg.isEmpty()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(xdg);
    return base.resolve("lathe").toAbsolutePath();
  }

  /** It appears whole or not at all: several processes may unpack it at once. */
  private static Path into(Path folder, String name, long bytes, Content content)
      throws IOException {
    Path target = folder.resolve(name);
    if (Files.exists(target) && Files.size(target) == bytes) {
      return target;
    }
    Files.createDirectories(folder);
    Path part = Files.createTempFile(folder, name, ".part");
    try (InputStream in = content.open()) {
      Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING);
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(part);
    }
    return target;
  }
}
