package dev.lathe.train;

import dev.lathe.model.ModelConfig;
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

  Elementwise(ModelConfig config, int length) {
    hidden = config.hidden();
    intermediate = config.intermediate();
    headDim = config.headDim();
    rotatedHeads = config.heads() + config.kvHeads();
    qkvCols = (config.heads() + 2 * config.kvHeads()) * headDim;
    this.length = length;
    epsilon = config.normEpsilon();
    rotations = new float[length * headDim];
    for (int position = 0; position < length; position++) {
      for (int i = 0; i < headDim / 2; i++) {
        double angle = position * config.rope().orElseThrow().frequency(i, headDim);
        rotations[position * headDim + i] = (float) Math.cos(angle);
        rotations[position * headDim + headDim / 2 + i] = (float) Math.sin(angle);
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

  /** Row r over its first r + 1 columns; the others become 0. */
  void causalSoftmax(Matrix scores) {
    float[] s = scores.values();
    for (int r = 0; r < scores.rows(); r++) {
      int row = scores.offset() + r * scores.stride();
      float max = Float.NEGATIVE_INFINITY;
      for (int c = 0; c <= r; c++) {
        max = Math.max(max, s[row + c]);
      }
      float sum = 0;
      for (int c = 0; c <= r; c++) {
        float e = (float) Math.exp(s[row + c] - max);
        s[row + c] = e;
        sum += e;
      }
      float inverse = 1 / sum;
      for (int c = 0; c <= r; c++) {
        s[row + c] *= inverse;
      }
      for (int c = r + 1; c < scores.cols(); c++) {
        s[row + c] = 0;
      }
    }
  }

  /** In place: {@code d = p (d - sum(d p))}; 0 where nothing is seen. */
  void causalSoftmaxBackward(Matrix gradient, Matrix probabilities) {
    float[] d = gradient.values();
    float[] p = probabilities.values();
    for (int r = 0; r < gradient.rows(); r++) {
      int row = gradient.offset() + r * gradient.stride();
      int from = probabilities.offset() + r * probabilities.stride();
      float dot = 0;
      for (int c = 0; c <= r; c++) {
        dot += d[row + c] * p[from + c];
      }
      for (int c = 0; c < gradient.cols(); c++) {
        d[row + c] = c <= r ? p[from + c] * (d[row + c] - dot) : 0;
      }
    }
  }

  /** {@code silu(gate) up} (Shazeer 2020). */
  void gate(float[] out, float[] gateUp) {
    int rows = out.length / intermediate;
    for (int t = 0; t < rows; t++) {
      int gate = t * 2 * intermediate;
      for (int i = 0; i < intermediate; i++) {
        float g = gateUp[gate + i];
        out[t * intermediate + i] = g * sigmoid(g) * gateUp[gate + intermediate + i];
      }
    }
  }

  /** {@code silu'(g) = sigmoid(g) (1 + g (1 - sigmoid(g)))}. */
  void gateBackward(float[] dGateUp, float[] dOut, float[] gateUp) {
    int rows = dOut.length / intermediate;
    for (int t = 0; t < rows; t++) {
      int gate = t * 2 * intermediate;
      for (int i = 0; i < intermediate; i++) {
        float g = gateUp[gate + i];
        float up = gateUp[gate + intermediate + i];
        float d = dOut[t * intermediate + i];
        float s = sigmoid(g);
        dGateUp[gate + i] = d * up * s * (1 + g * (1 - s));
        dGateUp[gate + intermediate + i] = d * g * s;
      }
    }
  }

  private static float sigmoid(float x) {
    return (float) (1 / (1 + Math.exp(-x)));
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
      double sum = 0;
      for (int c = 0; c < vocabulary; c++) {
        sum += Math.exp(logits[row + c] - max);
      }
      loss += Math.log(sum) + max - logits[row + target];
      if (scale != 0) {
        for (int c = 0; c < vocabulary; c++) {
          logits[row + c] = (float) (scale * Math.exp(logits[row + c] - max) / sum);
        }
        logits[row + target] -= scale;
      }
    }
    return loss;
  }
}
