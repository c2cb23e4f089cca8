package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whatever a file can lie about is one message with the file, the place and what would be right.
 */
class BadCheckpointTest {
  /** Right: two tensors, 4 x 4 bytes and 3 x 2 bytes. */
  private static final String HEADER =
      "{\"__metadata__\":{\"format\":\"pt\"},"
          + "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
          + "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]}}";

  private static final int DATA = 22;

  @TempDir Path folder;
  private Path weights;

  @BeforeEach
  void configure() {
    SafetensorsFixture.config(folder);
    weights = folder.resolve("model.safetensors");
  }

  private void refuses(String... parts) {
    assertThatThrownBy(() -> Checkpoints.open(folder).close())
        .isInstanceOfSatisfying(
            InvalidInputException.class, e -> assertThat(e.exitCode()).isEqualTo(2))
        .hasMessageContainingAll(parts)
        .message()
        .satisfies(message -> assertThat(message.lines()).hasSize(1));
  }

  @Test
  void theRightFileOpens() {
    SafetensorsFixture.write(weights, SafetensorsFixture.file(HEADER, DATA));
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThat(checkpoint.tensors())
          .containsEntry("a", TensorInfo.of("a", DType.F32, 2, 2))
          .containsEntry("b", TensorInfo.of("b", DType.BF16, 3))
          .hasSize(2);
      assertThat(((FolderCheckpoint) checkpoint).metadata()).containsEntry("format", "pt");
    }
    try (Checkpoint checkpoint = Checkpoints.open(weights)) {
      assertThat(checkpoint.tensors()).hasSize(2);
    }
  }

  static Stream<Arguments> headers() {
    return Stream.of(
        bad("\"F32\"", "\"F12\"", "tensor a", "F12", "BF16"),
        bad("\"F32\"", "32", "tensor a", "dtype must be a string"),
        bad("\"F32\"", "\"F16\"", "tensor a", "[0, 16]", "16 bytes", "needs 8"),
        bad("[2,2]", "[2,3]", "tensor a", "16 bytes", "needs 24"),
        bad("[2,2]", "[2,-2]", "tensor a", "-2", "must not be negative"),
        bad("[2,2]", "[2,2.0]", "tensor a", "list of integers"),
        bad("[2,2]", "\"2,2\"", "tensor a", "list of integers"),
        bad("[2,2]", "[4294967296,4294967296]", "tensor a", "more than 2^63 bytes"),
        bad("[2,2]", "[4611686018427387904]", "tensor a", "more than 2^63 bytes"),
        bad("[2,2]", "[0,99999999999999999999]", "tensor a", "out of range"),
        bad("[0,16]", "[-16,0]", "tensor a", "-16", "must not be negative"),
        bad("[0,16]", "[16,0]", "tensor a", "reversed"),
        bad("[0,16]", "[0]", "tensor a", "[begin, end]"),
        bad("[0,16]", "[0,16,32]", "tensor a", "[begin, end]"),
        bad("[16,22]", "[12,18]", "tensor b", "overlaps tensor a", "byte 16"),
        bad("[16,22]", "[15,21]", "tensor b", "overlaps tensor a", "byte 16"),
        bad("[16,22]", "[0,6]", "overlaps tensor"),
        bad("[16,22]", "[18,24]", "tensor b", "byte 24", "22 bytes"),
        bad("[16,22]", "[1000000,1000006]", "tensor b", "only 22 bytes", "truncated"),
        bad("\"shape\":[3],", "", "tensor b", "has no shape"),
        bad("\"dtype\":\"BF16\",", "", "tensor b", "has no dtype"),
        bad(",\"data_offsets\":[16,22]", "", "tensor b", "has no data_offsets"),
        bad("\"shape\":[3]", "\"shape\":[3],\"shape\":[3]", "tensor b", "\"shape\" twice"),
        bad(
            "\"shape\":[3]",
            "\"shape\":[3],\"strides\":[1]",
            "tensor b",
            "unknown key \"strides\""),
        bad("\"b\":", "\"a\":", "tensor a", "named twice"),
        bad("{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", "7", "tensor a"),
        bad("{\"format\":\"pt\"}", "{\"format\":1}", "__metadata__", "format", "string"),
        bad("{\"format\":\"pt\"}", "[]", "__metadata__"),
        bad("}}", "}", "no valid JSON", "column"),
        bad("}}", "}}}", "JSON"),
        bad("\"a\":", "a:", "no valid JSON", "line 1, column"),
        bad(HEADER, "[]", "must be a JSON object"),
        bad(HEADER, "", "must be a JSON object"),
        bad(HEADER, "{}", "end at byte 0", "byte 22"));
  }

  private static Arguments bad(String right, String wrong, String... message) {
    return Arguments.of(right, wrong, message);
  }

  @ParameterizedTest
  @MethodSource("headers")
  void aHeaderThatLiesIsRefused(String right, String wrong, String[] message) {
    assertThat(HEADER).contains(right);
    String header = HEADER.replace(right, wrong);
    SafetensorsFixture.write(weights, SafetensorsFixture.file(header, DATA));
    refuses(
        Stream.concat(Stream.of(weights.toString()), Arrays.stream(message))
            .toArray(String[]::new));
  }

  @Test
  void dataThatNoTensorCoversIsRefused() {
    SafetensorsFixture.write(weights, SafetensorsFixture.file(HEADER, DATA + 1));
    refuses("end at byte 22", "byte 23");
    String hole = HEADER.replace("[16,22]", "[17,23]");
    SafetensorsFixture.write(weights, SafetensorsFixture.file(hole, DATA + 1));
    refuses("tensor b", "hole of 1 bytes");
  }

  @Test
  void everyTruncationIsRefused() {
    byte[] whole = SafetensorsFixture.file(HEADER, DATA);
    for (int bytes = 0; bytes < whole.length; bytes++) {
      SafetensorsFixture.write(weights, Arrays.copyOf(whole, bytes));
      refuses(weights.toString(), bytes == 0 ? "is empty" : "truncated");
    }
  }

  @ParameterizedTest
  @ValueSource(longs = {-1, Long.MIN_VALUE, 100_000_001, Long.MAX_VALUE})
  void anAbsurdHeaderLengthIsRefused(long headerBytes) {
    SafetensorsFixture.write(weights, SafetensorsFixture.length(headerBytes));
    refuses(weights.toString(), Long.toUnsignedString(headerBytes), "at most 100000000");
  }

  @Test
  void randomDamageIsRefusedOrHarmless() {
    Random random = new Random(1);
    byte[] whole = SafetensorsFixture.file(HEADER, DATA);
    int refused = 0;
    for (int run = 0; run < 800; run++) {
      byte[] damaged = whole.clone();
      for (int i = 0; i <= random.nextInt(3); i++) {
        damaged[random.nextInt(damaged.length - DATA)] = (byte) random.nextInt(256);
      }
      SafetensorsFixture.write(weights, damaged);
      try (Checkpoint checkpoint = Checkpoints.open(folder)) {
        checkpoint.tensors().keySet().forEach(checkpoint::tensor);
      } catch (InvalidInputException e) {
        refused++;
        assertThat(e.getMessage()).contains(weights.toString());
      }
    }
    assertThat(refused).isBetween(400, 799);
  }

  @Test
  void missingFilesAreNamed() throws IOException {
    refuses(folder.toString(), "neither model.safetensors nor model.safetensors.index.json");
    SafetensorsFixture.write(folder.resolve("other.safetensors"), new byte[0]);
    refuses("to open other.safetensors, pass its path");
    Files.delete(folder.resolve("config.json"));
    refuses(folder.toString(), "no config.json");
    Path nowhere = folder.resolve("nowhere");
    assertThatThrownBy(() -> Checkpoints.open(nowhere))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining(nowhere + " does not exist");
    Path other = folder.resolve("model.bin");
    SafetensorsFixture.write(other, "x");
    assertThatThrownBy(() -> Checkpoints.open(other))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("not a checkpoint that Lathe reads");
  }

  static Stream<Arguments> configurations() {
    return Stream.of(
        Arguments.of("", new String[] {"is empty"}),
        Arguments.of("{\n \"a\": 1,\n \"b\" 2}", new String[] {"line 3, column"}),
        Arguments.of("{\n \"a\": 1,\n \"a\": 2}", new String[] {"line 3", "\"a\""}),
        Arguments.of("{\"a\": 1", new String[] {"line 1, column"}),
        Arguments.of("[1]", new String[] {"must hold a JSON object", "array"}),
        Arguments.of("{} {}", new String[] {"no valid JSON"}),
        Arguments.of(
            "{\"lathe\": {\"kv_cache\": \"fp8\"}}",
            new String[] {"lathe.kv_cache is \"fp8\"", "allowed: \"int8\""}),
        Arguments.of("{\"a\": \"\u0001\"}", new String[] {"no valid JSON"}));
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void aBrokenConfigurationIsNamedWithItsLine(String config, String[] message) {
    SafetensorsFixture.write(weights, SafetensorsFixture.file(HEADER, DATA));
    SafetensorsFixture.write(folder.resolve("config.json"), config);
    refuses(Stream.concat(Stream.of("config.json"), Arrays.stream(message)).toArray(String[]::new));
  }

  @Test
  void configurationInAnotherEncodingIsRefused() {
    SafetensorsFixture.write(weights, SafetensorsFixture.file(HEADER, DATA));
    SafetensorsFixture.write(
        folder.resolve("config.json"), "{\"a\": \"ä\"}".getBytes(StandardCharsets.ISO_8859_1));
    refuses("config.json", "no valid JSON");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"steps\": 3}",
        "{}",
        "{\"steps\": [{\"parent_hash\": \"a\", \"technique\": \"b\"}]}",
        "{\"steps\": [{\"parent_hash\": \"a\", \"technique\": \"b\", \"tool\": \"c\", \"d\": 1}]}",
        "{\"steps\": [{\"parent_hash\": \"a\", \"technique\": \"b\", \"tool\": []}]}",
        "{\"steps\": [], \"more\": 1}",
        "nothing"
      })
  void aBrokenLineageIsRefused(String lineage) {
    SafetensorsFixture.write(weights, SafetensorsFixture.file(HEADER, DATA));
    SafetensorsFixture.write(folder.resolve("lineage.json"), lineage);
    refuses("lineage.json");
  }

  @Test
  void aMissingTensorNamesTheNearest() {
    String header = HEADER.replace("\"a\"", "\"layers.0.down.weight\"");
    SafetensorsFixture.write(weights, SafetensorsFixture.file(header, DATA));
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThatThrownBy(() -> checkpoint.tensor("layers.0.dwn.weight"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("no tensor layers.0.dwn.weight")
          .hasMessageContaining("nearest name is layers.0.down.weight");
      assertThatThrownBy(() -> checkpoint.weight("layers.0.don"))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("nearest name is layers.0.down.weight");
      assertThat(checkpoint.hasWeight("layers.0.down")).isTrue();
      assertThat(checkpoint.hasWeight("layers.0.dwn")).isFalse();
    }
  }
}
