package dev.lathe.tensor;

/** What activations become before a matrix is multiplied by them. */
public enum ActivationFormat {
  /** As exactly as the backend multiplies them: W8A16 where the matrix is INT8. */
  FLOAT,

  /**
   * INT8, symmetric, with one scale a token that is found when they are multiplied (dynamic): W8A8
   * (Xiao et al. 2022, arXiv 2211.10438, section 2; Yao et al. 2022, arXiv 2206.01861). {@code
   * scale = max|x| / 127} and {@code q = x * (127 / max|x|)} rounded to nearest, half to even, each
   * step in F32, with {@value #LEAST_LARGEST} in the place of a smaller {@code max|x|}. Sums of
   * {@code q} times the matrix's codes are exact; they are multiplied by the token's scale, then by
   * the row's, and rounded to F32 each time. A token with a NaN or an infinity is NaN in all
   * outputs.
   */
  INT8;

  /** The largest code, and the least, negated. */
  public static final int MOST = 127;

  /** What {@code max|x|} is taken for where it is smaller, so that its inverse is a number. */
  public static final float LEAST_LARGEST = 1e-30f;

  /** Longest rows of codes: beyond, 128 * 128 summed that often may not fit in 32 bits. */
  public static final long MOST_COLUMNS = Integer.MAX_VALUE / (128 * 128);
}
