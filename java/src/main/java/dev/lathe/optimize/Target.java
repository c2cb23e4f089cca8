package dev.lathe.optimize;

import java.util.Arrays;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/** A figure that the optimized model can be required to reach. */
public enum Target {
  /** F32 bytes over the bytes as written, at least. */
  MIN_COMPRESSION(true),
  /** Tokens/s of one sequence over the baseline's, at least. */
  MIN_SPEEDUP(true),
  /** Tokens/s of all sequences of the batch together, at least. */
  MIN_TOKENS_PER_SECOND(true),
  /** Median time to the first token of one sequence, at most. */
  MAX_TTFT_MS(false),
  /** Median time per output token of one sequence, at most. */
  MAX_TPOT_MS(false);

  private final boolean atLeast;

  Target(boolean atLeast) {
    this.atLeast = atLeast;
  }

  /** {@code min_speedup}, as recipes spell it. */
  public String key() {
    return name().toLowerCase(Locale.ROOT);
  }

  public boolean isMet(double measured, double wanted) {
    return atLeast ? measured >= wanted : measured <= wanted;
  }

  /** All of them, as recipes spell them. */
  public static String keys() {
    return Arrays.stream(values()).map(Target::key).collect(Collectors.joining(", "));
  }

  public static Optional<Target> find(String key) {
    return Arrays.stream(values()).filter(target -> target.key().equals(key)).findFirst();
  }
}
