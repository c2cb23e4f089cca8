package dev.lathe.compress;

/** What weights are compared with each other when some of them are to go. */
public enum Scope {
  /** Those of one matrix: each loses the same share. */
  LAYER,
  /** All: one threshold, so that matrices of small weights lose more. */
  GLOBAL
}
