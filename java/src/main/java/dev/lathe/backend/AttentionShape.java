package dev.lathe.backend;

/**
 * Causal attention with grouped queries: query head {@code h} reads key/value head {@code h /
 * (heads / kvHeads)}.
 *
 * @param scale factor on the dot products, usually {@code 1 / sqrt(headDim)}
 */
public record AttentionShape(int heads, int kvHeads, int headDim, float scale) {
  public AttentionShape {
    if (heads < 1 || kvHeads < 1 || headDim < 1 || heads % kvHeads != 0) {
      throw new IllegalArgumentException(
          "%d heads cannot share %d key/value heads".formatted(heads, kvHeads));
    }
  }

  /** Columns of a fused row of query, key and value: {@code (heads + 2 kvHeads) headDim}. */
  public int queryKeyValueColumns() {
    return (heads + 2 * kvHeads) * headDim;
  }
}
