package dev.lathe.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TranspositionTest {
  private static final long[][] SHAPES = {{1, 1}, {1, 200}, {200, 1}, {64, 64}, {65, 130}, {3, 7}};

  @ParameterizedTest
  @EnumSource(names = {"F32", "F16", "BF16"})
  void everyValueLandsWhereRowAndColumnAreExchanged(DType dtype) {
    try (Arena arena = Arena.ofShared()) {
      for (long[] shape : SHAPES) {
        Tensor matrix = random(arena, dtype, shape[0], shape[1]);
        Tensor same = random(arena, dtype, shape[1], shape[0]);
        Tensor wide = random(arena, DType.F32, shape[1], shape[0]);
        Transposition.copy(new Weight.Dense(matrix), same);
        Transposition.copy(new Weight.Dense(matrix), wide);
        for (long r = 0; r < shape[0]; r++) {
          for (long c = 0; c < shape[1]; c++) {
            float value = Floats.get(matrix.memory(), dtype, r * shape[1] + c);
            assertThat(Floats.get(same.memory(), dtype, c * shape[0] + r)).isEqualTo(value);
            assertThat(Floats.get(wide.memory(), DType.F32, c * shape[0] + r)).isEqualTo(value);
          }
        }
      }
    }
  }

  private static Tensor random(Arena arena, DType dtype, long rows, long cols) {
    Tensor tensor = Tensor.of(arena.allocate(rows * cols * dtype.bytes(), 64), dtype, rows, cols);
    Random random = new Random(rows * 31 + cols);
    for (long i = 0; i < rows * cols; i++) {
      Floats.set(tensor.memory(), dtype, i, (float) random.nextGaussian());
    }
    return tensor;
  }

  @Test
  void shapesMustFit() {
    try (Arena arena = Arena.ofShared()) {
      Weight weight = new Weight.Dense(random(arena, DType.F32, 3, 5));
      Tensor wrong = random(arena, DType.F32, 3, 5);
      assertThatThrownBy(() -> Transposition.copy(weight, wrong))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }
}
