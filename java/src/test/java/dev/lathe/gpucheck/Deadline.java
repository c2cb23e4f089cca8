package dev.lathe.gpucheck;

import java.time.Duration;
import java.util.Optional;

/** When this call of gpu-check has to be over, with what it takes to write its report. */
final class Deadline {
  private static final Duration WRITING = Duration.ofSeconds(3);
  private static final Duration NEVER = Duration.ofDays(1000);

  private final long startNanos;
  private final Duration budget;

  Deadline(long startNanos, Optional<Duration> budget) {
    this.startNanos = startNanos;
    this.budget = budget.map(b -> b.minus(WRITING)).orElse(NEVER);
  }

  static Deadline never() {
    return new Deadline(System.nanoTime(), Optional.empty());
  }

  /** Negative once it is over. */
  Duration left() {
    return budget.minus(Duration.ofNanos(System.nanoTime() - startNanos));
  }
}
