package dev.lathe;

import java.util.List;
import java.util.stream.Stream;

/**
 * Commands that Ctrl-C ends wherever the tests were started: what a shell runs in the background
 * ignores it, and so does whatever that starts.
 */
public final class Interruptible {
  private Interruptible() {}

  public static List<String> command(List<String> words) {
    return Stream.concat(Stream.of("env", "--default-signal=INT"), words.stream()).toList();
  }
}
