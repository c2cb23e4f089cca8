package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import java.util.List;

/** Options of which this version has only some of the values that are planned. */
final class Exists {
  private Exists() {}

  static void require(String option, String value, List<String> existing) {
    if (!existing.contains(value)) {
      throw new InvalidInputException(
          "%s %s: this version has %s".formatted(option, value, String.join(", ", existing)));
    }
  }
}
