package dev.lathe.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.error.InvalidInputException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Weights in several files with an index. */
class ShardsTest {
  @TempDir Path parent;
  private Path folder;

  @BeforeEach
  void twoShards() {
    folder = parent.resolve("model");
    assertThat(folder.toFile().mkdir()).isTrue();
    SafetensorsFixture.config(folder);
    shard(folder.resolve("one.safetensors"), "a", 1);
    shard(folder.resolve("two.safetensors"), "b", 2);
    index("{\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}");
  }

  private static void shard(Path file, String tensor, int value) {
    String header =
        "{\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}".formatted(tensor);
    SafetensorsFixture.write(file, SafetensorsFixture.file(header, new byte[] {(byte) value}));
  }

  private void index(String map) {
    SafetensorsFixture.write(
        folder.resolve("model.safetensors.index.json"),
        "{\"metadata\": {\"total_size\": 2}, \"weight_map\": " + map + "}");
  }

  private void refuses(String... parts) {
    assertThatThrownBy(() -> Checkpoints.open(folder).close())
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContainingAll(parts);
  }

  @Test
  void tensorsComeFromTheirShards() {
    try (Checkpoint checkpoint = Checkpoints.open(folder)) {
      assertThat(checkpoint.tensors().keySet()).containsExactly("a", "b");
      assertThat(checkpoint.tensor("a").memory().get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 1);
      assertThat(checkpoint.tensor("b").memory().get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 2);
      String hash = checkpoint.hash();
      shard(folder.resolve("two.safetensors"), "b", 3);
      try (Checkpoint changed = Checkpoints.open(folder)) {
        assertThat(changed.hash()).isNotEqualTo(hash);
      }
    }
    try (Checkpoint one = Checkpoints.open(folder.resolve("one.safetensors"))) {
      assertThat(one.tensors().keySet()).containsExactly("a");
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"../out.safetensors", "/tmp/out.safetensors", "sub/x", "..", ".", "", "a\\\\b"})
  void aShardOutsideTheFolderIsRefused(String name) {
    shard(parent.resolve("out.safetensors"), "b", 2);
    index("{\"a\": \"one.safetensors\", \"b\": \"" + name + "\"}");
    refuses("index.json", "leaves the folder", "weight_map[\"b\"]");
  }

  @Test
  void aMissingShardIsNamed() {
    index("{\"a\": \"one.safetensors\", \"b\": \"three.safetensors\"}");
    refuses("three.safetensors", "missing");
  }

  @Test
  void anIndexThatDoesNotFitTheShardsIsRefused() {
    index("{\"a\": \"one.safetensors\", \"b\": \"two.safetensors\", \"c\": \"two.safetensors\"}");
    refuses("tensor c", "two.safetensors", "in no shard");
    index("{\"a\": \"two.safetensors\", \"b\": \"one.safetensors\"}");
    refuses("it is in", "says that tensor");
    shard(folder.resolve("two.safetensors"), "c", 2);
    index("{\"a\": \"one.safetensors\", \"c\": \"two.safetensors\"}");
    Checkpoints.open(folder).close();
    shard(folder.resolve("three.safetensors"), "d", 2);
    index("{\"a\": \"one.safetensors\", \"c\": \"two.safetensors\"}");
    Checkpoints.open(folder).close();
  }

  @Test
  void aTensorThatTheIndexLeavesOutIsNamed() {
    String both =
        "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
            + "\"x\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}";
    SafetensorsFixture.write(
        folder.resolve("two.safetensors"), SafetensorsFixture.file(both, new byte[2]));
    refuses("does not list tensor x", "two.safetensors");
  }

  @Test
  void aNameInTwoShardsIsRefused() {
    shard(folder.resolve("two.safetensors"), "a", 2);
    refuses("tensor a", "one.safetensors", "two.safetensors");
  }

  @ParameterizedTest
  @ValueSource(strings = {"[]", "{}", "3", "null", "{\"a\": 1}"})
  void aBrokenIndexIsRefused(String map) {
    index(map);
    refuses("index.json", "weight_map");
  }
}
