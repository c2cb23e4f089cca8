package dev.lathe.measure;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Epilogue;
import dev.lathe.backend.Linear;
import dev.lathe.model.DecoderWeights;
import dev.lathe.model.ModelConfig;
import dev.lathe.tensor.Weight;
import java.util.List;
import java.util.Optional;

/**
 * Arithmetic of each operation of {@code Backend}, exactly, from shapes alone.
 *
 * <p>What counts: an addition, subtraction, multiplication or division is one operation, so a fused
 * multiply-add is two; so is an exponential, square root, tanh, erf or sign change. Comparisons,
 * copies, conversions between types and index arithmetic count nothing, and neither does undoing a
 * quantization: that is the cost of a format, not work of the model. A dot product of length k
 * counts 2k, its sum starting from zero. Weights that a sparse format does not store are not
 * multiplied and not counted.
 */
public final class Flops {
  private Flops() {}

  /**
   * One sequence's part of a batch.
   *
   * @param newTokens tokens of this batch
   * @param contextLength tokens in the cache afterwards, the new ones included
   */
  public record Work(int newTokens, int contextLength) {
    public Work {
      if (newTokens < 1 || contextLength < newTokens) {
        throw new IllegalArgumentException(
            "%d new tokens of a context of %d".formatted(newTokens, contextLength));
      }
    }

    /** Tokens seen by each new token, summed: the causal triangle and what lies before it. */
    public long contexts() {
      long n = newTokens;
      return n * (contextLength - n) + n * (n + 1) / 2;
    }

    /** The same where a token sees the last {@code window} of them only. */
    public long contexts(int window) {
      // The last so many tokens have more than a window before and with them.
      long cut = Math.clamp((long) contextLength - window, 0, newTokens);
      long beyond = cut * (contextLength - (long) window) - cut * (cut - 1) / 2;
      return contexts() - beyond;
    }

    /** Tokens in the cache that at least one new token sees. */
    public long cached(int window) {
      return Math.min(contextLength, (long) window + newTokens - 1);
    }
  }

  @Metric(
      name = "FLOPs of linear",
      unit = "FLOP",
      formula =
          "2 * tokens * stored weights, + tokens * outputs with a bias, + tokens * outputs when"
              + " added to the output")
  public static long linear(long tokens, Linear layer, Epilogue epilogue) {
    long additions = (layer.bias().isPresent() ? 1L : 0) + (epilogue == Epilogue.ADD ? 1 : 0);
    return tokens * (2 * storedWeights(layer.weight()) + additions * layer.outputs());
  }

  @Metric(name = "FLOPs of rmsNorm", unit = "FLOP", formula = "rows * (4 * cols + 3)")
  public static long rmsNorm(long rows, long cols) {
    // Square and sum: 2 each; root of (sum / cols + epsilon): 3; divide by it and weigh: 2 each.
    return rows * (4 * cols + 3);
  }

  @Metric(
      name = "FLOPs of rotateAndAppend",
      unit = "FLOP",
      formula = "tokens * (heads + kvHeads) * headDim / 2 * 6")
  public static long rotateAndAppend(long tokens, AttentionShape shape) {
    return tokens * (shape.heads() + shape.kvHeads()) * (shape.headDim() / 2) * 6;
  }

  /**
   * A head of a token that sees c tokens: 2 d c for the dot products, c to scale them, 3 c for
   * softmax (subtract the largest, exponential, sum), 2 d c for the weighted sum of values, and d
   * to divide it by the softmax's sum; capped scores 3 c more (divide, tanh, multiply).
   *
   * @param contexts sum over the tokens of how many tokens each sees ({@link Work#contexts})
   */
  @Metric(
      name = "FLOPs of attention",
      unit = "FLOP",
      formula =
          "heads * ((4 * headDim + 4, 7 with capped scores) * sum over tokens of its real causal"
              + " context, within the window if there is one, + headDim * tokens)")
  public static long attention(AttentionShape shape, long tokens, long contexts) {
    long score = shape.softCap() > 0 ? 7 : 4;
    return shape.heads() * ((4L * shape.headDim() + score) * contexts + shape.headDim() * tokens);
  }

  @Metric(
      name = "FLOPs of gate",
      unit = "FLOP",
      formula = "elements * (SiLU 5, GELU by tanh 10, GELU by erf 6)")
  public static long gate(long elements, Activation activation) {
    return elements
        * switch (activation) {
          case SILU -> 5; // -x, exp, 1 +, x /, times up
          case GELU_TANH -> 10; // x x x 0.044715: 3; x +; times root; tanh; 1 +; x *; / 2; times up
          case GELU -> 6; // x / root 2; erf; 1 +; x *; / 2; times up
        };
  }

  @Metric(
      name = "FLOPs of activate",
      unit = "FLOP",
      formula = "elements * (SiLU 4, GELU by tanh 9, GELU by erf 5)")
  public static long activate(long elements, Activation activation) {
    return gate(elements, activation) - elements; // no product with up
  }

  @Metric(name = "FLOPs of layerNorm", unit = "FLOP", formula = "rows * (7 * cols + 4)")
  public static long layerNorm(long rows, long cols) {
    // Mean: cols + 1; centre: cols; squares: 2 cols; root: 3; divide, weigh, add the bias: 3 cols.
    return rows * (7 * cols + 4);
  }

  @Metric(name = "FLOPs of addRmsNorm", unit = "FLOP", formula = "rows * (5 * cols + 3)")
  public static long addRmsNorm(long rows, long cols) {
    return rmsNorm(rows, cols) + rows * cols;
  }

  @Metric(
      name = "FLOPs of normHeads",
      unit = "FLOP",
      formula = "tokens * (heads + kvHeads) * (4 * headDim + 3)")
  public static long normHeads(long tokens, AttentionShape shape) {
    return rmsNorm(tokens * (shape.heads() + shape.kvHeads()), shape.headDim());
  }

  @Metric(
      name = "FLOPs of addEmbedding and scale",
      unit = "FLOP",
      formula = "elements of the output")
  public static long perElement(long elements) {
    return elements;
  }

  @Metric(name = "FLOPs of softCap", unit = "FLOP", formula = "3 * elements")
  public static long softCap(long elements) {
    return 3 * elements; // divide, tanh, multiply
  }

  /**
   * A forward pass.
   *
   * @param logitRows tokens whose logits are asked for: only these go through the head
   */
  @Metric(
      name = "FLOPs of a forward pass",
      unit = "FLOP",
      formula =
          "layers * (norms + qkv + rotateAndAppend + attention + attention_output + gate_up +"
              + " gate or activate + down) + norm and head of the rows whose logits are asked for"
              + " + what the architecture has besides (normHeads, addEmbedding, scale, softCap);"
              + " embedding, append and row gathering are copies: 0")
  public static long forward(
      ModelConfig config, DecoderWeights weights, List<Work> work, long logitRows) {
    long tokens = work.stream().mapToLong(Work::newTokens).sum();
    long hidden = config.hidden();
    long flops = config.embeddingScale() == 1 ? 0 : perElement(tokens * hidden);
    if (weights.positions().isPresent()) {
      flops += perElement(tokens * hidden);
    }
    for (DecoderWeights.Layer layer : weights.layers()) {
      flops += layer(config, layer, work);
    }
    flops += norm(logitRows, hidden, weights.finalNorm());
    flops += linear(logitRows, weights.head(), Epilogue.STORE);
    return config.logitSoftCap() > 0 ? flops + softCap(logitRows * config.vocabulary()) : flops;
  }

  private static long layer(ModelConfig config, DecoderWeights.Layer layer, List<Work> work) {
    AttentionShape shape = config.attention(layer.index());
    long tokens = work.stream().mapToLong(Work::newTokens).sum();
    long contexts = work.stream().mapToLong(w -> w.contexts(shape.window())).sum();
    long hidden = config.hidden();
    long flops = norm(tokens, hidden, layer.attentionNorm());
    flops += linear(tokens, layer.queryKeyValue(), Epilogue.STORE);
    flops += layer.headNorms().isPresent() ? normHeads(tokens, shape) : 0;
    flops += config.rope().isPresent() ? rotateAndAppend(tokens, shape) : 0;
    flops += attention(shape, tokens, contexts);
    flops += added(tokens, hidden, layer.attentionOutput(), layer.postAttentionNorm());
    flops += norm(tokens, hidden, layer.feedForwardNorm());
    flops += linear(tokens, layer.gateUp(), Epilogue.STORE);
    long elements = tokens * config.intermediate();
    flops +=
        config.gated()
            ? gate(elements, config.activation())
            : activate(elements, config.activation());
    return flops + added(tokens, hidden, layer.down(), layer.postFeedForwardNorm());
  }

  private static long norm(long rows, long cols, DecoderWeights.Norm norm) {
    return norm.bias().isPresent() ? layerNorm(rows, cols) : rmsNorm(rows, cols);
  }

  private static long added(
      long tokens, long hidden, Linear linear, Optional<DecoderWeights.Norm> post) {
    return post.isPresent()
        ? linear(tokens, linear, Epilogue.STORE) + addRmsNorm(tokens, hidden)
        : linear(tokens, linear, Epilogue.ADD);
  }

  @Metric(
      name = "params",
      unit = "1",
      formula = "elements of all matrices, norms and biases, a tied matrix once, pruned ones too")
  public static long params(DecoderWeights weights) {
    long params = elements(weights.embedding()) + weights.finalNorm().elements();
    params += weights.positions().map(Flops::elements).orElse(0L);
    if (!weights.isTied()) {
      params += elements(weights.head());
    }
    for (DecoderWeights.Layer layer : weights.layers()) {
      params += layer.norms().mapToLong(DecoderWeights.Norm::elements).sum();
      params += layer.headNorms().map(n -> n.query().elements() + n.key().elements()).orElse(0L);
      params += elements(layer.queryKeyValue()) + elements(layer.attentionOutput());
      params += elements(layer.gateUp()) + elements(layer.down());
    }
    return params;
  }

  private static long elements(Linear layer) {
    return elements(layer.weight()) + layer.bias().map(b -> b.elements()).orElse(0L);
  }

  private static long elements(Weight weight) {
    return weight.rows() * weight.cols();
  }

  /** Weights that a multiplication goes over: those that the format stores. */
  public static long storedWeights(Weight weight) {
    return switch (weight) {
      case Weight.Dense dense -> elements(dense);
      case Weight.Int8 int8 -> elements(int8);
      case Weight.Bitmap bitmap -> bitmap.values().elements();
      case Weight.Stacked stacked -> stacked.parts().stream().mapToLong(Flops::storedWeights).sum();
    };
  }
}
