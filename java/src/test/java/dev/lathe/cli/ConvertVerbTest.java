package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.SharedFiles;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** {@code convert}, and the other verbs on GGUF files. */
class ConvertVerbTest {
  @TempDir Path folder;

  @BeforeAll
  static void model() {
    SharedModel.assume();
  }

  private static ObjectNode perplexity(Path model) {
    return Run.lathe(
            "eval",
            "--model",
            model.toString(),
            "--text",
            SharedModel.TEXT.toString(),
            "--separator",
            SharedModel.SEPARATOR,
            "--max-documents",
            "10",
            "--json")
        .json();
  }

  @Test
  void aGgufFileGivesTheTokensOfTheReference() {
    JsonNode expected =
        JsonMapper.builder()
            .build()
            .readTree(SharedModel.EXPECTED.toFile())
            .get("greedy_200_from_bos");
    ObjectNode told =
        Run.lathe(
                "generate",
                "--model",
                SharedFiles.require("models/stories260k.gguf").toString(),
                "--prompt",
                "",
                "--max-tokens",
                "120",
                "--json")
            .json();
    assertThat(told.get("tokens").size()).isEqualTo(120);
    for (int i = 0; i < 120; i++) {
      assertThat(told.get("tokens").get(i).intValue())
          .as("token %d", i)
          .isEqualTo(expected.get(i + 1).intValue());
    }
  }

  @Test
  void aConvertedModelHasItsPerplexity() throws java.io.IOException {
    Path gguf = folder.resolve("model.gguf");
    ObjectNode told =
        Run.lathe(
                "convert",
                "--model",
                SharedModel.MODEL.toString(),
                "--format",
                "gguf",
                "--out",
                gguf.toString(),
                "--json")
            .json();
    assertThat(told.get("bytes").longValue()).isEqualTo(Files.size(gguf));
    assertThat(told.get("out").stringValue()).isEqualTo(gguf.toString());
    assertThat(told.get("layers").size()).isEqualTo(36);
    ObjectNode base = perplexity(SharedModel.MODEL);
    assertThat(perplexity(gguf).get("perplexity")).isEqualTo(base.get("perplexity"));

    Path q8 = folder.resolve("q8.gguf");
    double compression =
        Run.lathe(
                "convert",
                "--model",
                gguf.toString(),
                "--format",
                "gguf",
                "--dtype",
                "q8_0",
                "--out",
                q8.toString(),
                "--json")
            .json()
            .get("compression")
            .doubleValue();
    assertThat(compression).isEqualTo(1_040_128.0 / Files.size(q8)).isGreaterThan(2.5);
    double before = base.get("perplexity").doubleValue();
    assertThat(perplexity(q8).get("perplexity").doubleValue())
        .isNotEqualTo(before)
        .isBetween(before * 0.99, before * 1.01);
  }

  @Test
  void whatCannotBeIsRefused() {
    Run.lathe("convert", "--model", SharedModel.MODEL.toString(), "--format", "onnx", "--out", "x")
        .refused(2)
        .says("--format", "gguf", "safetensors");
    Run.lathe(
            "convert",
            "--model",
            SharedModel.MODEL.toString(),
            "--format",
            "gguf",
            "--dtype",
            "q4_k",
            "--out",
            folder.resolve("x.gguf").toString())
        .refused(2)
        .says("--dtype", "q8_0");
  }
}
