package dev.lathe.tokenize;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import dev.lathe.error.LatheException;
import dev.lathe.files.Unpacked;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.Path;
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
                  + " glibc 2.34 or newer")
              .formatted(root.getMessage()),
          e);
    }
  }

  private static Path unpack() throws IOException {
    String architecture = System.getProperty("os.arch").equals("aarch64") ? "aarch64" : "x86_64";
    URL library = resource(RESOURCES + "linux-" + architecture + "/cpu/" + FILE);
    URLConnection packed = library.openConnection();
    packed.setUseCaches(false);
    long bytes = packed.getContentLengthLong();
    packed.getInputStream().close();
    return Unpacked.file(
        "tokenizers/" + version() + "-" + architecture, FILE, bytes, library::openStream);
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
}
