package dev.lathe.backend;

/** The non-linearity of a feed-forward layer, with or without a gate. */
public enum Activation {
  /** {@code x * sigmoid(x)}; with a gate, SwiGLU (Shazeer 2020, arXiv 2002.05202). */
  SILU,
  /** GELU, tanh form: {@code x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))}. */
  GELU_TANH,
  /** GELU by the error function. */
  GELU
}
