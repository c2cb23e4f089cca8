package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Tensors that are fine each but do not make a weight together. */
class BadWeightTest {
  private static final TensorInfo I8 = TensorInfo.of("x.weight", DType.I8, 4, 6);
  private static final TensorInfo BITMAP = TensorInfo.of("x.weight_bitmap", DType.U8, 4, 1);
  private static final TensorInfo NO_VALUES = TensorInfo.of("x.weight_values", DType.F32, 0);

  @TempDir Path folder;

  static Stream<Arguments> weights() {
    return Stream.of(
        bad("weight_scale must be there", I8),
        bad("scales are F32, BF16 or F16", I8, of("x.weight_scale", DType.I32, 4, 1)),
        bad("4 rows need [4, groups]", I8, of("x.weight_scale", DType.F32, 3, 1)),
        bad("4 scales a row, which do not divide 6", I8, of("x.weight_scale", DType.F32, 4, 4)),
        bad(
            "must be I8 of the scales' shape",
            I8,
            of("x.weight_scale", DType.F32, 4, 1),
            of("x.weight_zero_point", DType.U8, 4, 1)),
        bad(
            "must be I8 of the scales' shape",
            I8,
            of("x.weight_scale", DType.F32, 4, 1),
            of("x.weight_zero_point", DType.I8, 4, 2)),
        bad("two dimensions", of("x.weight", DType.F32, 4)),
        bad(
            "only I8 weights have scales",
            of("x.weight", DType.F32, 4, 4),
            of("x.weight_scale", DType.F32, 4, 1)),
        bad("reads F32, F16, BF16 and I8", of("x.weight", DType.I32, 4, 4)),
        bad("reads F32, F16, BF16 and I8", of("x.weight", DType.F8_E4M3, 4, 4)),
        bad(
            "FP8 in blocks",
            of("x.weight", DType.F8_E4M3, 4, 4),
            of("x.weight_scale_inv", DType.F32, 1, 1)),
        bad("GPTQ or AWQ", of("x.qweight", DType.I32, 4, 4)),
        bad("pack-quantized", of("x.weight_packed", DType.I32, 4, 4)),
        bad("no tensor x.weight_values", BITMAP),
        bad("a bitmap is U8", of("x.weight_bitmap", DType.I8, 4, 1), NO_VALUES),
        bad("one must go", BITMAP, NO_VALUES, of("x.weight", DType.F32, 4, 8)),
        bad("I8 values go with scales", BITMAP, of("x.weight_values", DType.I8, 0)),
        bad("others without", BITMAP, NO_VALUES, of("x.weight_scale", DType.F32, 4, 1)),
        bad("it must be F32, F16, BF16 or I8", BITMAP, of("x.weight_values", DType.I64, 0)),
        bad(
            "keeps 0 weights, but x.weight_values has 3",
            BITMAP,
            of("x.weight_values", DType.F32, 3)),
        bad("it must be I64 [2]", BITMAP, NO_VALUES, of("x.weight_shape", DType.I64, 3)),
        bad("says 0 x 0", BITMAP, NO_VALUES, of("x.weight_shape", DType.I64, 2)));
  }

  private static TensorInfo of(String name, DType dtype, long... shape) {
    return TensorInfo.of(name, dtype, shape);
  }

  private static Arguments bad(String message, TensorInfo... infos) {
    return Arguments.of(message, List.of(infos));
  }

  private static Tensor zeros(TensorInfo info) {
    return Tensor.of(Arena.ofAuto().allocate(info.bytes(), 8), info.dtype(), info.dimensions());
  }

  /** Without the writer, which refuses some of them. */
  private void write(List<TensorInfo> infos) {
    SafetensorsFixture.config(folder);
    SafetensorsLayout layout = SafetensorsLayout.of(infos);
    byte[] file = new byte[(int) layout.fileBytes()];
    MemorySegment.copy(
        layout.header(), 0, MemorySegment.ofArray(file), 0, layout.header().byteSize());
    SafetensorsFixture.write(folder.resolve("model.safetensors"), file);
  }

  @ParameterizedTest
  @MethodSource("weights")
  void partsThatDoNotFitAreRefused(String message, List<TensorInfo> infos) {
    write(infos);
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThatThrownBy(() -> checkpoint.weight("x"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("model.safetensors")
          .hasMessageContaining(message);
    }
  }

  @Test
  void bitsBeyondTheLastColumnAreRefused() {
    SafetensorsFixture.config(folder);
    Tensor bitmap = zeros(of("", DType.U8, 2, 2));
    bitmap.memory().set(ValueLayout.JAVA_BYTE, 3, (byte) 0b1000);
    MemorySegment shape = Arena.ofAuto().allocateFrom(ValueLayout.JAVA_LONG, 2, 11);
    CheckpointWriter.create(folder.resolve("m"))
        .config(StrictJson.mapper().createObjectNode())
        .group(
            WeightFormat.bitmap("x", 2, 11, 1, DType.F32, java.util.Optional.empty(), false),
            () -> List.of(bitmap, zeros(of("", DType.F32, 1)), Tensor.of(shape, DType.I64, 2)))
        .write(bytes -> {});
    try (Checkpoint checkpoint = Checkpoints.open(folder.resolve("m"))) {
      assertThatThrownBy(() -> checkpoint.weight("x"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("bits beyond column 11 set in row 1");
    }
  }

  @Test
  void aScaleForAllRowsAndF16ScalesAreSpreadAsF32() {
    write(
        List.of(
            I8,
            of("x.weight_scale", DType.F16, 4),
            of("y.weight", DType.I8, 3, 3),
            of("y.weight_scale", DType.F32, 1),
            of("y.weight_zero_point", DType.I8, 1)));
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      Weight.Int8 x = (Weight.Int8) checkpoint.weight("x");
      assertThat(x.scales().dtype()).isEqualTo(DType.F32);
      assertThat(x.scales().shape()).containsExactly(4, 1);
      Weight.Int8 y = (Weight.Int8) checkpoint.weight("y");
      assertThat(y.scales().shape()).containsExactly(3, 1);
      assertThat(y.zeroPoints().orElseThrow().shape()).containsExactly(3, 1);
    }
  }
}
