package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.node.ObjectNode;

class CheckpointWriterTest {
  @TempDir Path folder;

  private final Random random = new Random(7);

  private static ObjectNode config() {
    return StrictJson.mapper().createObjectNode().put("model_type", "llama");
  }

  private Tensor random(DType dtype, long... shape) {
    Tensor tensor =
        Tensor.of(Arena.ofAuto().allocate(Tensor.elements(shape) * dtype.bytes(), 8), dtype, shape);
    MemorySegment memory = tensor.memory();
    for (long i = 0; i < memory.byteSize(); i++) {
      memory.set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt());
    }
    return tensor;
  }

  private static void assertSame(Tensor actual, Tensor expected) {
    assertThat(actual.dtype()).isEqualTo(expected.dtype());
    assertThat(actual.shape()).containsExactly(expected.shape());
    assertThat(actual.memory().mismatch(expected.memory())).isEqualTo(-1);
  }

  private Weight.Bitmap bitmap(long rows, long cols, DType type, boolean asymmetric) {
    Tensor bits = random(DType.U8, rows, Math.ceilDiv(cols, 8L));
    int beyond = (int) (cols % 8);
    long[] offsets = new long[(int) rows + 1];
    for (int r = 0; r < rows; r++) {
      long width = bits.size(1);
      if (beyond != 0) {
        long last = (r + 1) * width - 1;
        byte b = bits.memory().get(ValueLayout.JAVA_BYTE, last);
        bits.memory().set(ValueLayout.JAVA_BYTE, last, (byte) (b & ((1 << beyond) - 1)));
      }
      offsets[r + 1] = offsets[r];
      for (long c = 0; c < cols; c++) {
        offsets[r + 1] +=
            bits.memory().get(ValueLayout.JAVA_BYTE, r * width + c / 8) >> (c % 8) & 1;
      }
    }
    MemorySegment offsetMemory = Arena.ofAuto().allocateFrom(ValueLayout.JAVA_LONG, offsets);
    boolean int8 = type == DType.I8;
    return new Weight.Bitmap(
        cols,
        bits,
        Tensor.of(offsetMemory, DType.I64, rows + 1),
        random(type, offsets[(int) rows]),
        int8 ? Optional.of(random(DType.BF16, rows, 1)) : Optional.empty(),
        asymmetric ? Optional.of(random(DType.I8, rows, 1)) : Optional.empty());
  }

  static Stream<String> formats() {
    return Stream.of(
        "f32",
        "f16",
        "bf16",
        "int8",
        "int8 grouped",
        "int8 asymmetric",
        "bitmap f32",
        "bitmap bf16 odd",
        "bitmap int8",
        "bitmap int8 asymmetric odd",
        "bitmap empty");
  }

  private Weight weight(String format) {
    return switch (format) {
      case "f32" -> new Weight.Dense(random(DType.F32, 5, 7));
      case "f16" -> new Weight.Dense(random(DType.F16, 5, 7));
      case "bf16" -> new Weight.Dense(random(DType.BF16, 5, 7));
      case "int8" ->
          new Weight.Int8(random(DType.I8, 5, 7), random(DType.BF16, 5, 1), Optional.empty());
      case "int8 grouped" ->
          new Weight.Int8(random(DType.I8, 5, 7), random(DType.F32, 5, 3), Optional.empty());
      case "int8 asymmetric" ->
          new Weight.Int8(
              random(DType.I8, 5, 7),
              random(DType.BF16, 5, 1),
              Optional.of(random(DType.I8, 5, 1)));
      case "bitmap f32" -> bitmap(5, 72, DType.F32, false);
      case "bitmap bf16 odd" -> bitmap(5, 77, DType.BF16, false);
      case "bitmap int8" -> bitmap(3, 8, DType.I8, false);
      case "bitmap int8 asymmetric odd" -> bitmap(3, 3, DType.I8, true);
      case "bitmap empty" -> bitmap(0, 16, DType.F32, false);
      default -> throw new AssertionError(format);
    };
  }

  @ParameterizedTest
  @MethodSource("formats")
  void everyFormatComesBackAsItWasWritten(String format) {
    Weight weight = weight(format);
    Path out = folder.resolve("new/model");
    CheckpointWriter.Written written =
        CheckpointWriter.create(out)
            .config(config())
            .group(WeightFormat.infos("a.b", weight), () -> WeightFormat.parts(weight))
            .write(bytes -> {});
    try (Checkpoint checkpoint = Checkpoints.open(out)) {
      assertThat(checkpoint.hasWeight("a.b")).isTrue();
      assertThat(checkpoint.hasWeight("a")).isFalse();
      Weight read = checkpoint.weight("a.b");
      assertThat(read.format()).isEqualTo(weight.format());
      assertThat(read.cols()).isEqualTo(weight.cols());
      assertThat(read.rows()).isEqualTo(weight.rows());
      assertThat(read.bytes()).isEqualTo(weight.bytes());
      List<Tensor> actual = new ArrayList<>(WeightFormat.parts(read));
      List<Tensor> expected = new ArrayList<>(WeightFormat.parts(weight));
      if (read instanceof Weight.Bitmap bitmap) {
        actual.add(bitmap.rowOffsets());
        expected.add(((Weight.Bitmap) weight).rowOffsets());
      }
      assertThat(actual).hasSameSizeAs(expected);
      for (int i = 0; i < actual.size(); i++) {
        assertSame(actual.get(i), expected.get(i));
      }
      assertThat(checkpoint.hash()).isEqualTo(written.hash());
      assertThat(checkpoint.fileBytes()).isEqualTo(written.weightFileBytes());
    }
    assertThat(folder.resolve("new")).isDirectoryContaining(file -> file.equals(out));
    assertThat(folder.resolve("new").toFile().list()).containsExactly("model");
  }

  @Test
  void groupsAreMadeOneAtATimeAndEveryTensorIsAligned() {
    List<String> order = new ArrayList<>();
    Tensor bytes = random(DType.I8, 3);
    Tensor longs = random(DType.I64, 2);
    Tensor halves = random(DType.BF16, 5);
    Tensor words = random(DType.F32, 1);
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("m"))
            .config(config())
            .group(
                List.of(TensorInfo.of("a", DType.I8, 3), TensorInfo.of("b", DType.BF16, 5)),
                () -> {
                  order.add("first");
                  return List.of(bytes, halves);
                })
            .group(
                List.of(TensorInfo.of("c", DType.I64, 2), TensorInfo.of("d", DType.F32, 1)),
                () -> {
                  order.add("second");
                  return List.of(longs, words);
                });
    assertThat(writer.plannedBytes()).isEqualTo(3 + 10 + 16 + 4);
    List<Long> done = new ArrayList<>();
    writer.write(count -> {
      order.add("wrote");
      done.add(count);
    });
    assertThat(order).containsExactly("first", "wrote", "wrote", "second", "wrote", "wrote");
    assertThat(done).containsExactly(3L, 13L, 29L, 33L);
    try (Checkpoint checkpoint = Checkpoints.open(folder.resolve("m"))) {
      assertThat(checkpoint.tensors().keySet()).containsExactly("c", "d", "b", "a");
      checkpoint
          .tensors()
          .forEach((name, info) ->
              assertThat(checkpoint.tensor(name).address() % info.dtype().bytes()).isZero());
      assertSame(checkpoint.tensor("a"), bytes);
      assertSame(checkpoint.tensor("b"), halves);
      assertSame(checkpoint.tensor("c"), longs);
      assertSame(checkpoint.tensor("d"), words);
    }
  }

  @Test
  void lineageAndCopiedFilesComeBack() throws IOException {
    Path tokenizer = Files.writeString(folder.resolve("tokenizer.json"), "{\"a\": 1}");
    Lineage lineage =
        Lineage.NONE
            .with(new Lineage.Step("ab12", "prune 50 %", "lathe 0.1.0"))
            .with(new Lineage.Step("cd34", "quantize \"w8a16\"", "lathe 0.1.0"));
    CheckpointWriter.create(folder.resolve("m"))
        .config(config())
        .copy(tokenizer)
        .lineage(lineage)
        .write(bytes -> {});
    try (Checkpoint checkpoint = Checkpoints.open(folder.resolve("m"))) {
      assertThat(checkpoint.lineage()).isEqualTo(lineage);
      assertThat(checkpoint.file("tokenizer.json").orElseThrow())
          .hasSameTextualContentAs(tokenizer);
      assertThat(checkpoint.config().get("model_type").stringValue()).isEqualTo("llama");
      Path again = folder.resolve("again");
      CheckpointWriter.create(again)
          .config(checkpoint.config())
          .copyCompanions(checkpoint)
          .lineage(checkpoint.lineage())
          .write(bytes -> {});
      assertThat(again.resolve("tokenizer.json")).hasSameTextualContentAs(tokenizer);
    }
  }

  @Test
  void hashDependsOnWeightsAndConfigurationAlone() {
    Tensor a = random(DType.F32, 3);
    String first = hash("one", a, config(), Lineage.NONE);
    assertThat(first).matches("[0-9a-f]{64}");
    assertThat(hash("two", a, config(), Lineage.NONE)).isEqualTo(first);
    Lineage lineage = Lineage.NONE.with(new Lineage.Step("0", "x", "y"));
    assertThat(hash("three", a, config(), lineage)).isEqualTo(first);
    assertThat(hash("four", random(DType.F32, 3), config(), Lineage.NONE)).isNotEqualTo(first);
    assertThat(hash("five", a, config().put("x", 1), Lineage.NONE)).isNotEqualTo(first);
  }

  private String hash(String name, Tensor tensor, ObjectNode config, Lineage lineage) {
    return CheckpointWriter.create(folder.resolve(name))
        .config(config)
        .lineage(lineage)
        .group(List.of(TensorInfo.of("t", DType.F32, 3)), () -> List.of(tensor))
        .write(bytes -> {})
        .hash();
  }

  @Test
  void anOutputThatExistsIsRefused() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "x");
    assertThatThrownBy(() -> CheckpointWriter.create(file))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(file.toString())
        .hasMessageContaining("exists already")
        .hasMessageContaining("--out");
  }

  @Test
  void anOutputInAFileIsRefused() throws IOException {
    Path file = Files.writeString(folder.resolve("file"), "x");
    for (String name : List.of("file/m", "file/deep/m")) {
      CheckpointWriter writer = CheckpointWriter.create(folder.resolve(name)).config(config());
      assertThatThrownBy(() -> writer.write(bytes -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining(file + " is a file");
    }
    assertThat(folder.toFile().list()).containsExactly("file");
  }

  @Test
  void anOutputThatAppearsMeanwhileIsLeftAlone() throws IOException {
    Path out = folder.resolve("m");
    CheckpointWriter writer =
        CheckpointWriter.create(out)
            .config(config())
            .group(
                List.of(TensorInfo.of("a", DType.I8, 3)),
                () -> {
                  assertThat(out.toFile().mkdir()).isTrue();
                  return List.of(random(DType.I8, 3));
                });
    assertThatThrownBy(() -> writer.write(bytes -> {}))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("exists already");
    assertThat(folder.toFile().list()).containsExactly("m");
    assertThat(out).isEmptyDirectory();
  }

  @Test
  void aFailureInAGroupLeavesNothing() {
    IllegalStateException planted = new IllegalStateException("planted");
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("deep/er/m"))
            .config(config())
            .group(List.of(TensorInfo.of("a", DType.I8, 3)), () -> List.of(random(DType.I8, 3)))
            .group(
                List.of(TensorInfo.of("b", DType.I8, 3)),
                () -> {
                  assertThat(folder.resolve("deep/er").toFile().list()).hasSize(2);
                  throw planted;
                });
    assertThatThrownBy(() -> writer.write(bytes -> {})).isSameAs(planted);
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void anotherShapeThanAnnouncedIsAMistakeOfTheCaller() {
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("m"))
            .config(config())
            .group(List.of(TensorInfo.of("a", DType.I8, 3)), () -> List.of(random(DType.I8, 4)));
    assertThatThrownBy(() -> writer.write(bytes -> {}))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("a was announced");
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void moreThanTheDiskHoldsIsRefusedBeforeAnythingIsMade() {
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("m"))
            .config(config())
            .group(
                List.of(TensorInfo.of("a", DType.I8, 1L << 60)),
                () -> {
                  throw new AssertionError("nothing must be made");
                });
    assertThatThrownBy(() -> writer.write(bytes -> {}))
        .isInstanceOfSatisfying(LatheException.class, e -> assertThat(e.exitCode()).isEqualTo(1))
        .hasMessageContaining("disk is full")
        .hasMessageContaining("1,152,921,504,606,8");
    assertThat(folder).isEmptyDirectory();
  }

  @Test
  void anInterruptedThreadLeavesNothing() {
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("m"))
            .config(config())
            .group(
                List.of(TensorInfo.of("a", DType.I8, 3)),
                () -> {
                  Thread.currentThread().interrupt();
                  return List.of(random(DType.I8, 3));
                });
    assertThatThrownBy(() -> writer.write(bytes -> {}))
        .isInstanceOfSatisfying(LatheException.class, e -> assertThat(e.exitCode()).isEqualTo(1));
    assertThat(Thread.interrupted()).isTrue();
    assertThat(folder).isEmptyDirectory();
  }
}
