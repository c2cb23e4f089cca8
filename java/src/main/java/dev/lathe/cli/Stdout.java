package dev.lathe.cli;

import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Optional;

/** Remembers why writing failed, which {@link java.io.PrintStream} keeps to itself. */
final class Stdout extends FilterOutputStream {
  private IOException failure;

  Stdout(OutputStream out) {
    super(out);
  }

  @Override
  public void write(byte[] bytes, int from, int count) throws IOException {
    try {
      out.write(bytes, from, count);
    } catch (IOException e) {
      failure = e;
      throw e;
    }
  }

  /** Why results did not arrive; empty where they did, or where nobody wants more of them. */
  Optional<String> lost() {
    return failure == null || isClosedPipe()
        ? Optional.empty()
        : Optional.of("the results could not be written to stdout: " + failure.getMessage());
  }

  /** The reader has gone: {@code lathe ... | head}. */
  boolean isClosedPipe() {
    return failure != null && String.valueOf(failure.getMessage()).contains("Broken pipe");
  }
}
