package dev.lathe.tokenize;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import dev.lathe.error.LatheException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Properties;

/**
 * Hugging Face's tokenizers, from the JNI library in DJL's jar. It is unpacked and loaded here and
 * not by DJL, which would look for a cloud's metadata service and for the CUDA runtime first.
 */
final class TokenizerLibrary {
  private static final String RESOURCES = "native/lib/";
  private static final String FILE = "libtokenizers.so";

  private TokenizerLibrary() {}

  /** Loads on first use. */
  private static final class Loaded {
    private static final TokenizersLibrary LIBRARY = load();

    private static TokenizersLibrary load() {
      try {
        System.load(unpack().toString());
      } catch (IOException e) {
        throw new java.io.UncheckedIOException(e);
      }
      return TokenizersLibrary.LIB;
    }
  }

  /**
   * The library, loaded.
   *
   * @throws LatheException if it cannot be loaded on this machine; says why
   */
  static TokenizersLibrary get() {
    try {
      return Loaded.LIBRARY;
    } catch (LinkageError e) {
      Throwable root = e;
      while (root.getCause() != null) {
        root = root.getCause();
      }
      throw new LatheException(
          LatheException.FAILED,
          ("the tokenizer library cannot be loaded: %s; it needs Linux on x86-64 or arm64 with"
                  + " glibc 2.34 or newer, and room in %s (set XDG_CACHE_HOME for another place)")
              .formatted(root.getMessage(), cacheFolder()),
          e);
    }
  }

  /** The library as a file; of several processes that unpack it, each writes it whole. */
  private static Path unpack() throws IOException {
    String architecture = System.getProperty("os.arch").equals("aarch64") ? "aarch64" : "x86_64";
    URLConnection resource =
        resource(RESOURCES + "linux-" + architecture + "/cpu/" + FILE).openConnection();
    resource.setUseCaches(false);
    try (InputStream in = resource.getInputStream()) {
      Path folder = cacheFolder().resolve(version() + "-" + architecture);
      Path target = folder.resolve(FILE);
      if (Files.exists(target) && Files.size(target) == resource.getContentLengthLong()) {
        return target;
      }
      Files.createDirectories(folder);
      Path part = Files.createTempFile(folder, FILE, ".part");
      try {
        Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING);
        Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
      } finally {
        Files.deleteIfExists(part);
      }
      return target;
    }
  }

  private static String version() throws IOException {
    Properties properties = new Properties();
    try (InputStream in = resource(RESOURCES + "tokenizers.properties").openStream()) {
      properties.load(in);
    }
    return properties.getProperty("version", "unknown");
  }

  private static URL resource(String name) throws FileNotFoundException {
    URL url = TokenizersLibrary.class.getClassLoader().getResource(name);
    if (url == null) {
      throw new FileNotFoundException(name + " is not on the class path");
    }
    return url;
  }

  /** {@code ~/.cache/lathe/tokenizers}, or where XDG_CACHE_HOME says. */
  private static Path cacheFolder() {
    String xdg = System.getenv("XDG_CACHE_HOME");
    Path base =
        xdg == null || xdg.isEmpty()
            ? Path.of(System.getProperty("user.home"), ".cache")
            : Path.of(xdg);
    return base.resolve("lathe").resolve("tokenizers").toAbsolutePath();
  }
}
