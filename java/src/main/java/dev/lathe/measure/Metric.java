package dev.lathe.measure;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;

/**
 * How a figure is defined, beside the code that computes it. The field uses one name for several
 * numbers, so reports print this formula, and {@code docs/metrics.md} holds the same one (a test
 * compares them).
 */
@Retention(RetentionPolicy.RUNTIME)
@Target(ElementType.METHOD)
public @interface Metric {
  /** The name in reports: {@code TTFT}. */
  String name();

  /** {@code ms}, {@code tokens/s}; "1" for a plain number. */
  String unit();

  /** The formula in plain text. */
  String formula();
}
