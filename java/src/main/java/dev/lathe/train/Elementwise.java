package dev.lathe.train;

import dev.lathe.model.ModelConfig;
import dev.lathe.model.Rope;
import dev.lathe.train.Blas.Matrix;

/** What lies between the products of the forward and backward pass, row by row. */
final class Elementwise {
  private final int hidden;
  private final int intermediate;
  private final int headDim;
  private final int rotatedHeads;
  private final int qkvCols;
  private final int length;
  private final float epsilon;

  /** Cosines, then sines, of each position: [length, headDim]. */
  private final float[] rotations;

  /** Of one row of logits. */
  private final float[] exponentials;

  Elementwise(ModelConfig config, int length) {
    exponentials = new float[config.vocabulary()];
    hidden = config.hidden();
    intermediate = config.intermediate();
    headDim = config.headDim();
    rotatedHeads = config.heads() + config.kvHeads();
    qkvCols = (config.heads() + 2 * config.kvHeads()) * headDim;
    this.length = length;
    epsilon = config.normEpsilon();
    rotations = new float[length * headDim];
    Rope rope = config.rope().orElseThrow();
    for (int position = 0; position < length; position++) {
      for (int i = 0; i < headDim / 2; i++) {
        double angle = position * rope.frequency(i, headDim, length);
        rotations[position * headDim + i] = (float) (rope.magnitude() * Math.cos(angle));
        rotations[position * headDim + headDim / 2 + i] =
            (float) (rope.magnitude() * Math.sin(angle));
      }
    }
  }

  /** {@code out = x root w, root = 1 / sqrt(mean(x^2) + epsilon)} (Zhang and Sennrich 2019). */
  void rmsNorm(float[] out, float[] root, float[] x, float[] w, int weight) {
    for (int t = 0; t < root.length; t++) {
      int row = t * hidden;
      double squares = 0;
      for (int c = 0; c < hidden; c++) {
        squares += x[row + c] * x[row + c];
      }
      float r = (float) (1 / Math.sqrt(squares / hidden + epsilon));
      root[t] = r;
      for (int c = 0; c < hidden; c++) {
        out[row + c] = x[row + c] * r * w[weight + c];
      }
    }
  }

  /**
   * Adds to {@code dx} and to the gradient of the norm's weight.
   *
   * <p>With g = dOut w: {@code dx += root g - x root^3 / hidden sum(g x); dw += dOut x root}.
   */
  void rmsNormBackward(
      float[] dx, float[] dOut, float[] x, float[] root, float[] w, float[] gradient, int weight) {
    for (int t = 0; t < root.length; t++) {
      int row = t * hidden;
      float r = root[t];
      double dot = 0;
      for (int c = 0; c < hidden; c++) {
        dot += dOut[row + c] * w[weight + c] * x[row + c];
        gradient[weight + c] += dOut[row + c] * x[row + c] * r;
      }
      float back = (float) (dot * r * r * r / hidden);
      for (int c = 0; c < hidden; c++) {
        dx[row + c] += r * dOut[row + c] * w[weight + c] - back * x[row + c];
      }
    }
  }

  /**
   * Turns pairs (i, i + headDim / 2) of queries and keys by {@code direction} times their angle.
   */
  void rotate(float[] qkv, int tokens, int direction) {
    int half = headDim / 2;
    for (int t = 0; t < tokens; t++) {
      int angles = t % length * headDim;
      for (int head = 0; head < rotatedHeads; head++) {
        int first = t * qkvCols + head * headDim;
        for (int i = 0; i < half; i++) {
          float cos = rotations[angles + i];
          float sin = direction * rotations[angles + half + i];
          float real = qkv[first + i];
          float imaginary = qkv[first + half + i];
          qkv[first + i] = real * cos - imaginary * sin;
          qkv[first + half + i] = imaginary * cos + real * sin;
        }
      }
    }
  }

  /**
   * Rows of a causal softmax.
   *
   * @param scores a row each for positions from {@code first} on; a column for each position that
   *     the last of them sees. Row r is over its first {@code first + r + 1} columns, the others
   *     become 0
   */
  void causalSoftmax(Matrix scores, int first) {
    float[] s = scores.values();
    for (int r = 0; r < scores.rows(); r++) {
      int row = scores.offset() + r * scores.stride();
      int end = row + first + r + 1;
      float max = Float.NEGATIVE_INFINITY;
      for (int i = row; i < end; i++) {
        max = Math.max(max, s[i]);
      }
      Exponential.shifted(s, row, end, max);
      float sum = 0;
      for (int i = row; i < end; i++) {
        sum += s[i];
      }
      float inverse = 1 / sum;
      for (int i = row; i < end; i++) {
        s[i] *= inverse;
      }
      java.util.Arrays.fill(s, end, row + scores.cols(), 0);
    }
  }

  /** In place: {@code d = p (d - sum(d p))}; 0 where nothing is seen. */
  void causalSoftmaxBackward(Matrix gradient, Matrix probabilities, int first) {
    float[] d = gradient.values();
    float[] p = probabilities.values();
    for (int r = 0; r < gradient.rows(); r++) {
      int row = gradient.offset() + r * gradient.stride();
      int from = probabilities.offset() + r * probabilities.stride();
      int seen = first + r + 1;
      float dot = 0;
      for (int c = 0; c < seen; c++) {
        dot += d[row + c] * p[from + c];
      }
      for (int c = 0; c < seen; c++) {
        d[row + c] = p[from + c] * (d[row + c] - dot);
      }
      java.util.Arrays.fill(d, row + seen, row + gradient.cols(), 0);
    }
  }

  /** {@code silu(gate) up} (Shazeer 2020), silu(g) = g / (1 + e^-g). */
  void gate(float[] out, float[] gateUp) {
    int rows = out.length / intermediate;
    for (int t = 0; t < rows; t++) {
      int gate = t * 2 * intermediate;
      int up = gate + intermediate;
      int to = t * intermediate;
      Exponential.ofNegated(gateUp, gate, out, to, intermediate);
      for (int i = 0; i < intermediate; i++) {
        out[to + i] = gateUp[gate + i] / (1 + out[to + i]) * gateUp[up + i];
      }
    }
  }

  /** {@code silu'(g) = sigmoid(g) (1 + g (1 - sigmoid(g)))}. */
  void gateBackward(float[] dGateUp, float[] dOut, float[] gateUp) {
    int rows = dOut.length / intermediate;
    for (int t = 0; t < rows; t++) {
      int gate = t * 2 * intermediate;
      int up = gate + intermediate;
      int from = t * intermediate;
      Exponential.ofNegated(gateUp, gate, dGateUp, gate, intermediate);
      for (int i = 0; i < intermediate; i++) {
        float sigmoid = 1 / (1 + dGateUp[gate + i]);
        float g = gateUp[gate + i];
        float d = dOut[from + i] * sigmoid;
        dGateUp[gate + i] = d * gateUp[up + i] * (1 + g * (1 - sigmoid));
        dGateUp[up + i] = d * g;
      }
    }
  }

  /**
   * Sum of {@code -log softmax(logits)[target]} over the rows that have a target. Unless scale is
   * 0, the logits become the gradient of scale times that: {@code scale (softmax - one-hot)}.
   */
  double crossEntropy(float[] logits, int[] targets, int vocabulary, float scale) {
    double loss = 0;
    for (int t = 0; t < targets.length; t++) {
      int row = t * vocabulary;
      int target = targets[t];
      if (target < 0) {
        if (scale != 0) {
          java.util.Arrays.fill(logits, row, row + vocabulary, 0);
        }
        continue;
      }
      float max = Float.NEGATIVE_INFINITY;
      for (int c = 0; c < vocabulary; c++) {
        max = Math.max(max, logits[row + c]);
      }
      System.arraycopy(logits, row, exponentials, 0, vocabulary);
      Exponential.shifted(exponentials, 0, vocabulary, max);
      double sum = 0;
      for (int c = 0; c < vocabulary; c++) {
        sum += exponentials[c];
      }
      loss += Math.log(sum) + max - logits[row + target];
      if (scale != 0) {
        float each = (float) (scale / sum);
        for (int c = 0; c < vocabulary; c++) {
          logits[row + c] = exponentials[c] * each;
        }
        logits[row + target] -= scale;
      }
    }
    return loss;
  }
}
