package dev.lathe.backend.reference;

import static dev.lathe.backend.reference.ReferenceBackend.get;
import static dev.lathe.backend.reference.ReferenceBackend.set;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.Tensor;
import java.util.function.DoubleUnaryOperator;

/** Norms and element-wise functions of matrices, as their formulas read. */
final class ReferenceRows {
  private ReferenceRows() {}

  /** out[r, c] = function(x[r, c]) */
  static void replace(Tensor out, Tensor x, DoubleUnaryOperator function) {
    for (long r = 0; r < x.size(0); r++) {
      for (long c = 0; c < x.size(1); c++) {
        set(out, r, c, function.applyAsDouble(get(x, r, c)));
      }
    }
  }

  static double cap(double x, double cap) {
    return cap > 0 ? cap * Math.tanh(x / cap) : x;
  }

  static void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    for (long r = 0; r < x.size(0); r++) {
      double root = rootMeanSquare(x, r, 0, x.size(1), epsilon);
      for (long c = 0; c < x.size(1); c++) {
        set(out, r, c, get(out, r, c) + get(x, r, c) / root * get(weight, c));
      }
    }
  }

  static void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    int headDim = shape.headDim();
    for (long t = 0; t < qkv.size(0); t++) {
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        Tensor weight = head < shape.heads() ? query : key;
        long first = (long) head * headDim;
        double root = rootMeanSquare(qkv, t, first, headDim, epsilon);
        for (int i = 0; i < headDim; i++) {
          set(qkv, t, first + i, get(qkv, t, first + i) / root * get(weight, i));
        }
      }
    }
  }

  private static double rootMeanSquare(Tensor x, long row, long first, long cols, float epsilon) {
    double squares = 0;
    for (long c = first; c < first + cols; c++) {
      squares += get(x, row, c) * get(x, row, c);
    }
    return Math.sqrt(squares / cols + epsilon);
  }

  static void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    long cols = x.size(1);
    for (long r = 0; r < x.size(0); r++) {
      double sum = 0;
      for (long c = 0; c < cols; c++) {
        sum += get(x, r, c);
      }
      double mean = sum / cols;
      double squares = 0;
      for (long c = 0; c < cols; c++) {
        squares += (get(x, r, c) - mean) * (get(x, r, c) - mean);
      }
      double root = Math.sqrt(squares / cols + epsilon);
      for (long c = 0; c < cols; c++) {
        set(out, r, c, (get(x, r, c) - mean) / root * get(weight, c) + get(bias, c));
      }
    }
  }
}
