package dev.lathe.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;

/** What native/build compiled, and what it left out and why. */
final class NativeBuild {
  private static final String PROPERTIES = "/dev/lathe/native/build.properties";

  private NativeBuild() {}

  /** Component to "built: …" or "missing: …", in the order of their names. */
  static Map<String, String> components() {
    Properties properties = new Properties();
    try (InputStream in = NativeBuild.class.getResourceAsStream(PROPERTIES)) {
      if (in == null) {
        return Map.of("all", "missing: the native libraries are not on the class path");
      }
      properties.load(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    Map<String, String> components = new TreeMap<>();
    properties.stringPropertyNames().forEach(n -> components.put(n, properties.getProperty(n)));
    return components;
  }
}
