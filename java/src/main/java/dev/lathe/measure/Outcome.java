package dev.lathe.measure;

/** How a request ended. Only {@link #COMPLETED} ones give latencies; the others are counted. */
public enum Outcome {
  /** Every token that was due came, up to the limit or to the model's own end. */
  COMPLETED,
  /** The request ended with an error. */
  FAILED,
  /** The one who asked gave up before the end. */
  CANCELLED
}
