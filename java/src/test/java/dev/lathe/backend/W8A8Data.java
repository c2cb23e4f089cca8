package dev.lathe.backend;

import dev.lathe.tensor.ActivationFormat;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Optional;
import java.util.SplittableRandom;

/** Random W8A8 products, and what they are by {@link ActivationFormat#INT8}, in Java's floats. */
public record W8A8Data(Arena arena, SplittableRandom random) {

  public Weight.Int8 weight(int rows, int cols, DType scaleType) {
    Tensor values = Tensor.of(arena.allocate((long) rows * cols), DType.I8, rows, cols);
    for (long i = 0; i < values.elements(); i++) {
      values.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-128, 128));
    }
    Tensor scales = Tensor.of(arena.allocate(4L * rows, 4), scaleType, rows, 1);
    for (int r = 0; r < rows; r++) {
      Floats.set(scales.memory(), scaleType, r, (float) random.nextDouble(0.002, 0.05));
    }
    return new Weight.Int8(values, scales, Optional.empty(), ActivationFormat.INT8);
  }

  /** Normally distributed, F32 [rows, cols]. */
  public Tensor normal(int rows, int cols) {
    Tensor tensor = Tensor.of(arena.allocate(4L * rows * cols, 4), DType.F32, rows, cols);
    for (int i = 0; i < rows * cols; i++) {
      Floats.set(tensor.memory(), DType.F32, i, (float) random.nextGaussian());
    }
    return tensor;
  }

  /** Of a contiguous x; shares nothing with {@link TokenQuantization}. */
  public static float[] expected(Weight.Int8 weight, Tensor x) {
    int tokens = (int) x.size(0);
    int rows = (int) weight.rows();
    int cols = (int) weight.cols();
    float[] out = new float[tokens * rows];
    for (int t = 0; t < tokens; t++) {
      float largest = 0;
      for (int c = 0; c < cols; c++) {
        largest = Math.max(largest, Math.abs(at(x, t * cols + c)));
      }
      boolean finite = Float.isFinite(largest);
      largest = Math.max(largest, 1e-30f);
      for (int r = 0; r < rows; r++) {
        int sum = 0;
        for (int c = 0; c < cols && finite; c++) {
          sum +=
              (int) Math.rint(at(x, t * cols + c) * (127 / largest))
                  * weight.values().memory().get(ValueLayout.JAVA_BYTE, (long) r * cols + c);
        }
        float scale = Floats.get(weight.scales().memory(), weight.scales().dtype(), r);
        out[t * rows + r] = sum * (finite ? largest / 127 : Float.NaN) * scale;
      }
    }
    return out;
  }

  private static float at(Tensor tensor, int index) {
    return Floats.get(tensor.memory(), DType.F32, index);
  }
}
