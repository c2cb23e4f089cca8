package dev.lathe.train;

import dev.lathe.model.ModelConfig;

/** What the forward pass leaves for the backward pass, and what that needs itself. */
final class Activations {
  /**
   * One layer's.
   *
   * @param x the residual stream at its beginning [tokens, hidden]
   * @param middle the residual stream between attention and feed-forward [tokens, hidden]
   * @param h {@code x} normed; {@code h2} {@code middle} normed
   * @param root the inverse root mean square of each row of {@code x}; {@code root2} of {@code
   *     middle}
   * @param qkv rotated queries, rotated keys, values [tokens, (heads + 2 kvHeads) headDim]
   * @param probabilities of attention [sequences, heads, length, length]
   * @param gateUp [tokens, 2 intermediate]; {@code gated} [tokens, intermediate]
   */
  record Layer(
      float[] x,
      float[] h,
      float[] root,
      float[] qkv,
      float[] probabilities,
      float[] attention,
      float[] middle,
      float[] h2,
      float[] root2,
      float[] gateUp,
      float[] gated) {}

  final Layer[] layers;
  final float[] x;
  final float[] h;
  final float[] root;
  final float[] logits;

  // Gradients of the layer in hand.
  final float[] dx;
  final float[] dh;
  final float[] dQkv;
  final float[] dAttention;
  final float[] dProbabilities;
  final float[] dGateUp;
  final float[] dGated;

  /** What is allocated for a number of sequences, and the elements of the largest array of it. */
  record Size(long bytes, long largest) {}

  static Size size(ModelConfig config, int sequences, int length) {
    long tokens = (long) sequences * length;
    long hidden = tokens * config.hidden();
    long queries = tokens * config.heads() * config.headDim();
    long qkv = queries + 2 * tokens * config.kvHeads() * config.headDim();
    long gated = tokens * config.intermediate();
    long scores = tokens * config.heads() * length;
    long logits = tokens * config.vocabulary();
    long layer = 4 * hidden + 2 * tokens + qkv + scores + queries + 3 * gated;
    long all = config.layers() * layer + 4 * hidden + logits + qkv + queries + 3 * gated;
    return new Size(
        Float.BYTES * all, Math.max(Math.max(logits, scores), Math.max(2 * gated, qkv)));
  }

  /**
   * @param block positions whose attention is computed together
   */
  Activations(ModelConfig config, int sequences, int length, int block) {
    int tokens = sequences * length;
    int hidden = tokens * config.hidden();
    int queries = tokens * config.heads() * config.headDim();
    int qkv = queries + 2 * tokens * config.kvHeads() * config.headDim();
    int gated = tokens * config.intermediate();
    layers = new Layer[config.layers()];
    for (int i = 0; i < layers.length; i++) {
      layers[i] =
          new Layer(
              new float[hidden],
              new float[hidden],
              new float[tokens],
              new float[qkv],
              new float[sequences * config.heads() * length * length],
              new float[queries],
              new float[hidden],
              new float[hidden],
              new float[tokens],
              new float[2 * gated],
              new float[gated]);
    }
    x = new float[hidden];
    h = new float[hidden];
    root = new float[tokens];
    logits = new float[tokens * config.vocabulary()];
    dx = new float[hidden];
    dh = new float[hidden];
    dQkv = new float[qkv];
    dAttention = new float[queries];
    dProbabilities = new float[block * length];
    dGateUp = new float[2 * gated];
    dGated = new float[gated];
  }
}
