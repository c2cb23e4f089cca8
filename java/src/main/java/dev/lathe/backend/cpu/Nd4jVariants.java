package dev.lathe.backend.cpu;

import dev.lathe.backend.AttentionShape;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.ValueLayout;
import java.util.function.DoubleUnaryOperator;

/** Norms and element-wise functions for the backend without native kernels, in plain Java. */
final class Nd4jVariants {
  private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;

  private Nd4jVariants() {}

  private static float get(Tensor tensor, long index) {
    return tensor.memory().get(FLOAT, index * 4);
  }

  private static void set(Tensor tensor, long index, double value) {
    tensor.memory().set(FLOAT, index * 4, (float) value);
  }

  static void map(Tensor out, Tensor x, DoubleUnaryOperator function) {
    for (long i = 0; i < x.elements(); i++) {
      set(out, i, function.applyAsDouble(get(x, i)));
    }
  }

  /** 1 / sqrt(mean of (x - shift)^2 + epsilon) */
  private static double factor(Tensor x, long first, long cols, double shift, float epsilon) {
    double squares = 0;
    for (long c = first; c < first + cols; c++) {
      double value = get(x, c) - shift;
      squares += value * value;
    }
    return 1 / Math.sqrt(squares / cols + epsilon);
  }

  static void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    long cols = x.size(1);
    for (long row = 0; row < x.elements(); row += cols) {
      double factor = factor(x, row, cols, 0, epsilon);
      for (long c = 0; c < cols; c++) {
        set(out, row + c, get(out, row + c) + get(x, row + c) * factor * get(weight, c));
      }
    }
  }

  static void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    long cols = x.size(1);
    for (long row = 0; row < x.elements(); row += cols) {
      double sum = 0;
      for (long c = 0; c < cols; c++) {
        sum += get(x, row + c);
      }
      double mean = sum / cols;
      double factor = factor(x, row, cols, mean, epsilon);
      for (long c = 0; c < cols; c++) {
        set(out, row + c, (get(x, row + c) - mean) * factor * get(weight, c) + get(bias, c));
      }
    }
  }

  static void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    int headDim = shape.headDim();
    for (long t = 0; t < qkv.size(0); t++) {
      for (int head = 0; head < shape.heads() + shape.kvHeads(); head++) {
        long first = t * qkv.size(1) + (long) head * headDim;
        Tensor weight = head < shape.heads() ? query : key;
        double factor = factor(qkv, first, headDim, 0, epsilon);
        for (int i = 0; i < headDim; i++) {
          set(qkv, first + i, get(qkv, first + i) * factor * get(weight, i));
        }
      }
    }
  }
}
