package dev.lathe.generate;

/** Why a generation ended. */
public enum FinishReason {
  /** One of the stop texts appeared. */
  STOP,
  /** The number of tokens asked for was reached. */
  LENGTH,
  /** The model generated its end-of-sequence token. */
  END_OF_SEQUENCE,
  /** The model's context is full. */
  CONTEXT_FULL
}
