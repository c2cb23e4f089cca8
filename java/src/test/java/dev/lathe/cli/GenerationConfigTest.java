package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;

/** {@code generation_config.json} beside a model: tokens that end a generation. */
class GenerationConfigTest {
  @TempDir Path folder;
  private Path model;

  @BeforeEach
  void copy() throws IOException {
    SharedModel.assume();
    model = SharedModel.copyTo(folder.resolve("model"));
  }

  private Run generate(String... more) {
    String[] all = {"--prompt", "Once upon a time"};
    return SharedModel.generate(
        model, Stream.of(all, more).flatMap(Arrays::stream).toArray(String[]::new));
  }

  private void write(String json) throws IOException {
    Files.writeString(model.resolve("generation_config.json"), json);
  }

  private static List<Integer> tokens(Run run) {
    assertThat(run.code()).as(run.err()).isZero();
    return run.json().get("tokens").values().stream().map(JsonNode::intValue).toList();
  }

  @Test
  void itsTokensEndAGenerationToo() throws IOException {
    List<Integer> all = tokens(generate());
    assertThat(all).hasSize(8);
    int third = all.get(2);
    assertThat(all.subList(0, 2)).doesNotContain(third);
    write(
        "{\"temperature\": 0.6, \"eos_token_id\": [511, %d], \"max_length\": 4}".formatted(third));
    Run stopped = generate();
    assertThat(all.subList(0, 3)).startsWith(tokens(stopped).toArray(Integer[]::new));
    assertThat(tokens(stopped).size()).isBetween(2, 3);
    assertThat(stopped.json().get("finish").stringValue()).isEqualTo("end_of_sequence");
    assertThat(tokens(generate("--ignore-eos"))).isEqualTo(all);
    write("{\"eos_token_id\": %d}".formatted(third));
    assertThat(tokens(generate())).isEqualTo(tokens(stopped));
  }

  @Test
  void configJsonsOwnStay() throws IOException {
    List<Integer> all = tokens(generate());
    SharedModel.replace(
        model.resolve("config.json"), "\"eos_token_id\": 2", "\"eos_token_id\": " + all.get(2));
    write("{\"eos_token_id\": 511}");
    assertThat(tokens(generate()).size()).isBetween(2, 3);
  }

  @Test
  void aBrokenOneIsExit2() throws IOException {
    write("{\"eos_token_id\": [2, 512]}");
    Run run = generate();
    assertThat(run.code()).isEqualTo(2);
    assertThat(run.err())
        .contains("generation_config.json: eos_token_id is [2,512]; ids go from 0 to 511")
        .hasLineCount(1);
    write("{\"eos_token_id\": 2");
    assertThat(generate().code()).isEqualTo(2);
  }
}
