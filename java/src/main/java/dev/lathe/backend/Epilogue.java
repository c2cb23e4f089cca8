package dev.lathe.backend;

/** What becomes of the product of a linear layer. */
public enum Epilogue {
  /** It replaces the output. */
  STORE,
  /** It is added to the output: the residual connection. */
  ADD
}
