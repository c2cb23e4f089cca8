package dev.lathe.measure;

import com.fasterxml.jackson.annotation.JsonValue;
import dev.lathe.backend.Ceilings;

/**
 * What limits a piece of work: the roofline (Williams, Waterman and Patterson 2009) and what lies
 * far below it.
 */
public enum Bound {
  /** Below the ridge point: time goes to moving bytes. */
  MEMORY("memory-bound"),
  /** Above the ridge point: time goes to arithmetic. */
  COMPUTE("compute-bound"),
  /** Far below both ceilings: time goes to neither; calls, waiting and short loops. */
  OVERHEAD("overhead-bound");

  /**
   * Below this part of both ceilings, work is overhead-bound. At a half, most of the time goes to
   * neither moving bytes nor arithmetic: that most is the limit, and doing away with all bytes and
   * all arithmetic could not even make it 1 / (1 - 1/2) = 2 times as fast.
   */
  public static final double OVERHEAD_FRACTION = 0.5;

  private final String text;

  Bound(String text) {
    this.text = text;
  }

  /**
   * Classifies by arithmetic intensity against the ridge point, unless neither ceiling is near.
   *
   * @param nanos measured
   */
  public static Bound of(double flops, double bytes, double nanos, Ceilings ceilings) {
    if (ceilings.leastNanos(flops, bytes) < OVERHEAD_FRACTION * nanos) {
      return OVERHEAD;
    }
    return flops / bytes < ceilings.ridgeFlopsPerByte() ? MEMORY : COMPUTE;
  }

  @Override
  @JsonValue
  public String toString() {
    return text;
  }
}
