package dev.lathe.tensor;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class TensorTest {
  private final Tensor matrix =
      Tensor.of(
          MemorySegment.ofArray(new float[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}),
          DType.F32,
          3,
          4);

  @Test
  void holdsJustItsElements() {
    assertThat(matrix.memory().byteSize()).isEqualTo(48);
    assertThat(matrix.rows(1, 3).memory().byteSize()).isEqualTo(32);
    assertThat(matrix.rows(3, 3).memory().byteSize()).isZero();
    assertThat(matrix.columns(1, 3).memory().byteSize()).isEqualTo((2 * 4 + 2) * 4);
    assertThat(matrix.columns(1, 3).rows(1, 2).memory().byteSize()).isEqualTo(8);
  }

  @Test
  void aSliceOfColumnsKeepsTheDistanceOfItsRows() {
    Tensor slice = matrix.columns(1, 3).rows(1, 3);
    float[] row = new float[2];
    Floats.readRow(slice, 1, row);
    assertThat(row).containsExactly(9, 10);
    assertThat(slice.isContiguous()).isFalse();
    assertThat(slice.bytes()).isEqualTo(16);
    assertThatThrownBy(() -> slice.reshape(4)).isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void refusesMemoryThatIsTooSmallAndShapesThatOverflow() {
    assertThatThrownBy(() -> Tensor.of(MemorySegment.ofArray(new float[3]), DType.F32, 2, 2))
        .hasMessageContaining("needs 16 bytes, the memory holds 12");
    assertThatThrownBy(() -> Tensor.elements(1L << 40, 1L << 40))
        .isInstanceOf(ArithmeticException.class);
    assertThatThrownBy(() -> matrix.rows(2, 4)).isInstanceOf(IndexOutOfBoundsException.class);
    assertThatThrownBy(() -> matrix.columns(-1, 2)).isInstanceOf(IndexOutOfBoundsException.class);
  }

  @Test
  void deviceMemoryIsNotReadByTheHost() {
    Tensor device = Tensor.onDevice(MemorySegment.ofAddress(4096).reinterpret(64), DType.F32, 16);
    assertThat(device.rows(4, 8).address()).isEqualTo(4096 + 16);
    assertThatThrownBy(device::memory).isInstanceOf(IllegalStateException.class);
  }

  @Test
  void narrowFloatsRoundToNearestEvenAndBack() {
    for (int bits = 0; bits < 1 << 16; bits++) {
      float value = Floats.fromBf16((short) bits);
      if (!Float.isNaN(value)) {
        assertThat(Floats.toBf16(value)).isEqualTo((short) bits);
      }
    }
    assertThat(Floats.toBf16(1 + 0x1p-8f)).isEqualTo(Floats.toBf16(1f));
    assertThat(Floats.toBf16(1 + 3 * 0x1p-8f)).isEqualTo(Floats.toBf16(1 + 0x1p-6f));
    assertThat(Floats.fromBf16(Floats.toBf16Up(1 + 0x1p-20f))).isEqualTo(1 + 0x1p-7f);
    assertThat(Floats.fromBf16(Floats.toBf16Up(1f))).isEqualTo(1f);
    assertThat(Floats.fromF8E4m3((byte) 0x7e)).isEqualTo(448f);
    assertThat(Floats.fromF8E4m3((byte) 0x01)).isEqualTo(0x1p-9f);
    assertThat(Floats.fromF8E4m3((byte) 0xb8)).isEqualTo(-1f);
    assertThat(Floats.fromF8E4m3((byte) 0x7f)).isNaN();
  }
}
