package dev.lathe.backend;

/**
 * Causal attention with grouped queries: query head {@code h} reads key/value head {@code h /
 * (heads / kvHeads)}.
 *
 * @param scale factor on the dot products, usually {@code 1 / sqrt(headDim)}
 * @param window a token sees itself and the {@code window - 1} tokens before it (Beltagy et al.
 *     2020, arXiv 2004.05150); {@link #NO_WINDOW} for all
 * @param softCap scores become {@code softCap * tanh(score / softCap)} after scaling and before the
 *     softmax (Gemma Team 2024, arXiv 2408.00118); {@link #NO_CAP} for none
 */
public record AttentionShape(
    int heads, int kvHeads, int headDim, float scale, int window, float softCap) {
  public static final int NO_WINDOW = Integer.MAX_VALUE;
  public static final float NO_CAP = 0;

  public AttentionShape {
    if (heads < 1 || kvHeads < 1 || headDim < 1 || heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          "%d heads cannot share %d key/value heads".formatted(heads, kvHeads));
    }
    if (window < 1 || !(softCap >= 0) || Float.isInfinite(softCap)) {
      throw new IllegalArgumentException(
          "a window of %d tokens or a soft cap of %s".formatted(window, softCap));
    }
  }

  /** Over the whole context, scores as they are. */
  public AttentionShape(int heads, int kvHeads, int headDim, float scale) {
    this(heads, kvHeads, headDim, scale, NO_WINDOW, NO_CAP);
  }

  /** Columns of a fused row of query, key and value: {@code (heads + 2 kvHeads) headDim}. */
  public int queryKeyValueColumns() {
    return (heads + 2 * kvHeads) * headDim;
  }

  /** The first token that one sees which is the {@code visible}th of its sequence. */
  public int firstVisible(int visible) {
    return Math.max(0, visible - window);
  }
}
