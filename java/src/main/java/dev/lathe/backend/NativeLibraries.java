package dev.lathe.backend;

import dev.lathe.files.Unpacked;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Optional;
import java.util.Properties;

/**
 * The libraries and CUDA modules that {@code native/build} compiled, found on the class path under
 * {@code dev/lathe/native/}.
 *
 * <p>A component is {@code cpu}, {@code emulator}, {@code cublas} or {@code cuda}. One that {@code
 * native/build} had no compiler for is absent, and {@code build.properties} beside it says why.
 */
public final class NativeLibraries {
  private static final String ROOT = "/dev/lathe/native/";
  private static final String PROPERTIES = "build.properties";
  private static final String MISSING = "missing: ";
  private static final String BUILT = "built:";

  private NativeLibraries() {}

  /**
   * The file of a native resource, or empty where it was not built.
   *
   * @param relative the path below {@code dev/lathe/native/}, such as {@code emulator/libcuda.so.1}
   * @throws UncheckedIOException if it is packed in a jar and can't be extracted
   */
  public static Optional<Path> find(String relative) {
    URL url = NativeLibraries.class.getResource(ROOT + relative);
    if (url == null) {
      return Optional.empty();
    }
    try {
      URI uri = url.toURI();
      return Optional.of("file".equals(uri.getScheme()) ? Path.of(uri) : extract(url, relative));
    } catch (URISyntaxException e) {
      throw new IllegalStateException("class path entry with an unusable address: " + url, e);
    } catch (IOException e) {
      throw new UncheckedIOException("can't extract " + url, e);
    }
  }

  /**
   * The file of a native resource that has to be there.
   *
   * @throws IllegalStateException if it was not built; says which component is missing and why
   */
  public static Path locate(String component, String relative) {
    return find(relative)
        .orElseThrow(() ->
            new IllegalStateException(relative + " is not available: " + whyMissing(component)));
  }

  /**
   * Why a component was left out of this build, in words for a user; for one that was built, that
   * it was.
   */
  public static String whyMissing(String component) {
    Optional<Properties> build = build();
    if (build.isEmpty()) {
      return "the native libraries are not on the class path";
    }
    String state = build.get().getProperty(component);
    if (state == null) {
      return "component '" + component + "' is unknown to " + PROPERTIES;
    }
    return state.startsWith(MISSING)
        ? state.substring(MISSING.length())
        : "component '" + component + "' was " + state + ", but without this file";
  }

  /** What a component was built with, such as {@code nvcc 13.0}; empty where it wasn't built. */
  public static Optional<String> builtWith(String component) {
    return build()
        .map(build -> build.getProperty(component, ""))
        .filter(state -> state.startsWith(BUILT))
        .map(state -> state.substring(BUILT.length()).strip());
  }

  /** What the native build says of its components; empty where there was none. */
  private static Optional<Properties> build() {
    Properties build = new Properties();
    try (InputStream in = NativeLibraries.class.getResourceAsStream(ROOT + PROPERTIES)) {
      if (in == null) {
        return Optional.empty();
      }
      build.load(in);
      return Optional.of(build);
    } catch (IOException e) {
      throw new UncheckedIOException("can't read " + ROOT + PROPERTIES, e);
    }
  }

  /** Unpacked to a folder named by its content. */
  private static Path extract(URL url, String relative) throws IOException {
    byte[] content;
    try (InputStream in = url.openStream()) {
      content = in.readAllBytes();
    }
    return Unpacked.file(
        sha256(content).substring(0, 32),
        relative.substring(relative.lastIndexOf('/') + 1),
        content.length,
        () -> new ByteArrayInputStream(content));
  }

  private static String sha256(byte[] content) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(content));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
