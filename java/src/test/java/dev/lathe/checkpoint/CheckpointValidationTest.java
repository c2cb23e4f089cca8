package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class CheckpointValidationTest {
  private static final long ROWS = 700;
  private static final long COLS = 333;

  private static Tensor tensor(DType dtype) {
    return Tensor.of(Arena.ofAuto().allocate(ROWS * COLS * dtype.bytes(), 8), dtype, ROWS, COLS);
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F32", "F16", "BF16"})
  void theFirstValueThatIsNoNumberIsNamed(DType dtype) {
    for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      Tensor tensor = tensor(dtype);
      float largest = dtype == DType.F16 ? 65504 : 0x1.FEp127f;
      for (long i = 0; i < tensor.elements(); i++) {
        Floats.set(tensor.memory(), dtype, i, i % 2 == 0 ? largest : -largest);
      }
      assertThatCode(() -> CheckpointValidation.requireFinite(tensor, "file: t"))
          .doesNotThrowAnyException();
      Floats.set(tensor.memory(), dtype, 699 * COLS + 5, bad);
      Floats.set(tensor.memory(), dtype, 412 * COLS + 332, bad);
      assertThatThrownBy(() -> CheckpointValidation.requireFinite(tensor, "file: t"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("file: t has " + bad + " in row 412, column 332");
    }
  }

  @Test
  void everyCodeOfF8IsJudgedByItsValue() {
    for (int code = 0; code < 256; code++) {
      Tensor tensor = Tensor.of(Arena.ofAuto().allocate(3), DType.F8_E4M3, 3);
      tensor.memory().set(ValueLayout.JAVA_BYTE, 2, (byte) code);
      if (Float.isFinite(Floats.fromF8E4m3((byte) code))) {
        CheckpointValidation.requireFinite(tensor, "t");
      } else {
        assertThatThrownBy(() -> CheckpointValidation.requireFinite(tensor, "t"))
            .hasMessageContaining("row 0, column 2");
      }
    }
  }
}
