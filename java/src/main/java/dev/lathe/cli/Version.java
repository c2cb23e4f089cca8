package dev.lathe.cli;

import picocli.CommandLine.IVersionProvider;

/** Lathe's version, from the manifest of its jar. */
final class Version implements IVersionProvider {
  static String current() {
    String version = Version.class.getPackage().getImplementationVersion();
    return version == null ? "(not packaged)" : version;
  }

  @Override
  public String[] getVersion() {
    return new String[] {
      "lathe " + current(),
      "JDK " + Runtime.version() + " (" + System.getProperty("java.vendor") + ")"
    };
  }
}
