package dev.lathe.optimize;

import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Percentages as people write them. */
public final class Percent {
  private static final Pattern FORM = Pattern.compile("(\\d+(?:\\.\\d+)?)\\s*%");

  private Percent() {}

  /** {@code 2%}, {@code 0.5 %} as 2 and 0.5; empty without the sign, or if negative. */
  public static Optional<Double> parse(String text) {
    Matcher matcher = FORM.matcher(text.strip());
    return matcher.matches() ? Optional.of(Double.valueOf(matcher.group(1))) : Optional.empty();
  }
}
