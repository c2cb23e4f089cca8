package dev.lathe.train;

import static dev.lathe.train.Blas.add;
import static dev.lathe.train.Blas.multiply;
import static dev.lathe.train.Blas.store;

import dev.lathe.model.ModelConfig;
import dev.lathe.train.Activations.Layer;
import dev.lathe.train.Blas.Matrix;
import java.util.Arrays;

/**
 * The decoder's forward pass for whole sequences and, written out by hand, the gradient of its loss
 * by every weight. Forward it computes what {@link dev.lathe.model.Decoder} computes; a test holds
 * one against the other, and the gradient against finite differences of a third, in double
 * precision. For one thread.
 *
 * <p>By hand because ND4J's SameDiff is too slow for this: per operation it costs tens of
 * milliseconds where the product takes one; see docs/training.md.
 */
final class DecoderGradient {
  /** Positions whose attention is computed together. */
  private static final int BLOCK = 64;

  private final Parameters parameters;
  private final ModelConfig config;
  private final int sequences;
  private final int length;
  private final int tokens;
  private final int hidden;
  private final int intermediate;
  private final int headDim;
  private final int qkvCols;
  private final int block;
  private final Activations a;
  private final Elementwise elementwise;
  private final float[] gradient;

  /**
   * @param sequences in a batch
   * @param length tokens of each
   */
  DecoderGradient(Parameters parameters, int sequences, int length) {
    this(parameters, sequences, length, Math.min(length, BLOCK));
  }

  DecoderGradient(Parameters parameters, int sequences, int length, int block) {
    this.parameters = parameters;
    this.block = block;
    this.config = parameters.config();
    this.sequences = sequences;
    this.length = length;
    tokens = sequences * length;
    hidden = config.hidden();
    intermediate = config.intermediate();
    headDim = config.headDim();
    qkvCols = (config.heads() + 2 * config.kvHeads()) * headDim;
    a = new Activations(config, sequences, length, block);
    elementwise = new Elementwise(config, length);
    gradient = new float[parameters.count()];
  }

  /** The gradient that {@link #lossAndGradient} left, in the order of the parameters. */
  float[] gradient() {
    return gradient;
  }

  int tokens() {
    return tokens;
  }

  /** Logits [sequences * length, vocabulary] of the last forward pass, until its backward pass. */
  float[] logits() {
    return a.logits;
  }

  /**
   * Forward only.
   *
   * @param targets the token after each; -1 where none is asked for
   * @return the sum of the negative log probabilities of the targets, in nats
   */
  double loss(int[] inputs, int[] targets) {
    forward(inputs);
    return elementwise.crossEntropy(a.logits, targets, config.vocabulary(), 0);
  }

  /**
   * Forward and backward.
   *
   * @param scale what the summed loss is multiplied by before the gradient is taken: 1 / tokens of
   *     the whole batch for a mean
   * @return as {@link #loss}, not scaled
   */
  double lossAndGradient(int[] inputs, int[] targets, float scale) {
    clear();
    return lossAndAddGradient(inputs, targets, scale);
  }

  /** Sets the gradient to 0. */
  void clear() {
    Arrays.fill(gradient, 0);
  }

  /** As {@link #lossAndGradient}, added to the gradient that is there. */
  double lossAndAddGradient(int[] inputs, int[] targets, float scale) {
    forward(inputs);
    double loss = elementwise.crossEntropy(a.logits, targets, config.vocabulary(), scale);
    backward(inputs);
    return loss;
  }

  private void forward(int[] inputs) {
    float[] w = parameters.values();
    if (inputs.length != tokens) {
      throw new IllegalArgumentException(inputs.length + " tokens, not " + tokens);
    }
    int embedding = parameters.offset("model.embed_tokens.weight");
    for (int t = 0; t < tokens; t++) {
      System.arraycopy(w, embedding + inputs[t] * hidden, a.x, t * hidden, hidden);
    }
    for (int i = 0; i < config.layers(); i++) {
      Layer l = a.layers[i];
      String name = "model.layers." + i + ".";
      System.arraycopy(a.x, 0, l.x(), 0, a.x.length);
      elementwise.rmsNorm(l.h(), l.root(), l.x(), w, offset(name, "input_layernorm"));
      store(
          of(l.qkv(), qkvCols),
          of(l.h(), hidden),
          weight(w, name, "self_attn.q_proj", qkvCols).t());
      elementwise.rotate(l.qkv(), tokens, 1);
      attend(l);
      add(
          of(a.x, hidden),
          of(l.attention(), queries()),
          weight(w, name, "self_attn.o_proj", hidden).t());

      System.arraycopy(a.x, 0, l.middle(), 0, a.x.length);
      elementwise.rmsNorm(
          l.h2(), l.root2(), l.middle(), w, offset(name, "post_attention_layernorm"));
      store(
          of(l.gateUp(), 2 * intermediate),
          of(l.h2(), hidden),
          weight(w, name, "mlp.gate_proj", 2 * intermediate).t());
      elementwise.gate(l.gated(), l.gateUp());
      add(
          of(a.x, hidden),
          of(l.gated(), intermediate),
          weight(w, name, "mlp.down_proj", hidden).t());
    }
    elementwise.rmsNorm(a.h, a.root, a.x, w, parameters.offset("model.norm.weight"));
    store(of(a.logits, config.vocabulary()), of(a.h, hidden), head(w).t());
  }

  /**
   * Each head of each sequence: softmax(q k^T / sqrt(headDim)) v, nobody sees what follows. In
   * blocks of positions, so that most of what nobody sees is not computed.
   */
  private void attend(Layer l) {
    float scale = config.attentionLayers().getFirst().scale();
    for (int s = 0; s < sequences; s++) {
      for (int head = 0; head < config.heads(); head++) {
        for (int first = 0; first < length; first += block) {
          int end = Math.min(length, first + block);
          Matrix p = probabilities(l, s, head, first, end);
          Matrix q = rows(query(l.qkv(), s, head), first, end);
          multiply(p, scale, q, rows(key(l.qkv(), s, head), 0, end).t(), 0);
          elementwise.causalSoftmax(p, first);
          store(
              rows(output(l.attention(), s, head), first, end),
              p,
              rows(value(l.qkv(), s, head), 0, end));
        }
      }
    }
  }

  private void backward(int[] inputs) {
    float[] w = parameters.values();
    // The logits' place holds their gradient by now.
    Matrix dLogits = of(a.logits, config.vocabulary());
    add(head(gradient), dLogits.t(), of(a.h, hidden));
    store(of(a.dh, hidden), dLogits, head(w));
    Arrays.fill(a.dx, 0);
    elementwise.rmsNormBackward(
        a.dx, a.dh, a.x, a.root, w, gradient, parameters.offset("model.norm.weight"));
    for (int i = config.layers() - 1; i >= 0; i--) {
      feedForwardBackward(a.layers[i], "model.layers." + i + ".", w);
      attentionBackward(a.layers[i], "model.layers." + i + ".", w);
    }
    int embedding = parameters.offset("model.embed_tokens.weight");
    for (int t = 0; t < tokens; t++) {
      int row = embedding + inputs[t] * hidden;
      for (int c = 0; c < hidden; c++) {
        gradient[row + c] += a.dx[t * hidden + c];
      }
    }
  }

  /**
   * dx is the gradient of the layer's result; what is added to the stream passes it on as it is.
   */
  private void feedForwardBackward(Layer l, String name, float[] w) {
    Matrix dx = of(a.dx, hidden);
    add(weight(gradient, name, "mlp.down_proj", hidden), dx.t(), of(l.gated(), intermediate));
    store(of(a.dGated, intermediate), dx, weight(w, name, "mlp.down_proj", hidden));
    elementwise.gateBackward(a.dGateUp, a.dGated, l.gateUp());
    Matrix dGateUp = of(a.dGateUp, 2 * intermediate);
    add(weight(gradient, name, "mlp.gate_proj", 2 * intermediate), dGateUp.t(), of(l.h2(), hidden));
    store(of(a.dh, hidden), dGateUp, weight(w, name, "mlp.gate_proj", 2 * intermediate));
    elementwise.rmsNormBackward(
        a.dx, a.dh, l.middle(), l.root2(), w, gradient, offset(name, "post_attention_layernorm"));
  }

  private void attentionBackward(Layer l, String name, float[] w) {
    Matrix dx = of(a.dx, hidden);
    add(weight(gradient, name, "self_attn.o_proj", hidden), dx.t(), of(l.attention(), queries()));
    store(of(a.dAttention, queries()), dx, weight(w, name, "self_attn.o_proj", hidden));
    attendBackward(l);
    elementwise.rotate(a.dQkv, tokens, -1); // a rotation's transpose turns back
    Matrix dQkv = of(a.dQkv, qkvCols);
    add(weight(gradient, name, "self_attn.q_proj", qkvCols), dQkv.t(), of(l.h(), hidden));
    store(of(a.dh, hidden), dQkv, weight(w, name, "self_attn.q_proj", qkvCols));
    elementwise.rmsNormBackward(
        a.dx, a.dh, l.x(), l.root(), w, gradient, offset(name, "input_layernorm"));
  }

  /** With s = scale q k^T: ds = p (dp - sum(dp p)); heads that share keys add up. */
  private void attendBackward(Layer l) {
    float scale = config.attentionLayers().getFirst().scale();
    Arrays.fill(a.dQkv, 0);
    for (int s = 0; s < sequences; s++) {
      for (int head = 0; head < config.heads(); head++) {
        for (int first = 0; first < length; first += block) {
          int end = Math.min(length, first + block);
          Matrix p = probabilities(l, s, head, first, end);
          Matrix dp = Matrix.of(a.dProbabilities, end - first, end);
          Matrix q = rows(query(l.qkv(), s, head), first, end);
          Matrix k = rows(key(l.qkv(), s, head), 0, end);
          Matrix dOut = rows(output(a.dAttention, s, head), first, end);
          add(rows(value(a.dQkv, s, head), 0, end), p.t(), dOut);
          store(dp, dOut, rows(value(l.qkv(), s, head), 0, end).t());
          elementwise.causalSoftmaxBackward(dp, p, first);
          multiply(rows(query(a.dQkv, s, head), first, end), scale, dp, k, 0);
          multiply(rows(key(a.dQkv, s, head), 0, end), scale, dp.t(), q, 1);
        }
      }
    }
  }

  private Matrix of(float[] activations, int cols) {
    return Matrix.of(activations, tokens, cols);
  }

  /** A matrix of a layer in the weights or in the gradient; with more rows, those after it too. */
  private Matrix weight(float[] values, String layer, String module, int rows) {
    Parameters.Entry entry = parameters.entry(layer + module + ".weight");
    return Matrix.at(values, entry.offset(), rows, entry.cols(), entry.cols());
  }

  private Matrix head(float[] values) {
    return Matrix.at(values, parameters.headOffset(), config.vocabulary(), hidden, hidden);
  }

  private int offset(String layer, String norm) {
    return parameters.offset(layer + norm + ".weight");
  }

  private int queries() {
    return config.heads() * headDim;
  }

  private Matrix query(float[] qkv, int sequence, int head) {
    return headOf(qkv, sequence, head * headDim, qkvCols);
  }

  private Matrix key(float[] qkv, int sequence, int head) {
    return headOf(qkv, sequence, queries() + shared(head) * headDim, qkvCols);
  }

  private Matrix value(float[] qkv, int sequence, int head) {
    int keys = config.kvHeads() * headDim;
    return headOf(qkv, sequence, queries() + keys + shared(head) * headDim, qkvCols);
  }

  private Matrix output(float[] attention, int sequence, int head) {
    return headOf(attention, sequence, head * headDim, queries());
  }

  private Matrix headOf(float[] values, int sequence, int firstCol, int stride) {
    return Matrix.at(values, sequence * length * stride + firstCol, length, headDim, stride);
  }

  private static Matrix rows(Matrix of, int from, int to) {
    return Matrix.at(
        of.values(), of.offset() + from * of.stride(), to - from, of.cols(), of.stride());
  }

  /** Rows of positions from {@code first} to {@code end}, columns of all up to {@code end}. */
  private Matrix probabilities(Layer l, int sequence, int head, int first, int end) {
    int offset = ((sequence * config.heads() + head) * length + first) * length;
    return Matrix.at(l.probabilities(), offset, end - first, end, length);
  }

  /** The key and value head that a query head uses (Ainslie et al. 2023, grouped queries). */
  private int shared(int head) {
    return head / (config.heads() / config.kvHeads());
  }
}
