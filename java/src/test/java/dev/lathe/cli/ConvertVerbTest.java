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

  /**
   * The model was trained with a context of 512, as its folder says: its loss is the same at
   * positions 128 and 500. The GGUF file says 128, which is what the program that made it writes
   * into all of its files; that is kept to, and up to there both say the same.
   */
  @Test
  void aGgufFileGivesTheTokensOfTheReference() {
    JsonNode expected =
        JsonMapper.builder()
            .build()
            .readTree(SharedModel.EXPECTED.toFile())
            .get("greedy_200_from_bos");
    ObjectNode gguf = greedy(SharedFiles.require("models/stories260k.gguf"));
    assertThat(gguf.get("tokens").size()).isEqualTo(127); // and the one that begins
    assertThat(gguf.get("finish").stringValue()).isEqualTo("context_full");
    ObjectNode folder = greedy(SharedModel.MODEL);
    assertThat(folder.get("tokens").size()).isEqualTo(199);
    for (int i = 0; i < 199; i++) {
      int token = expected.get(i + 1).intValue();
      assertThat(folder.get("tokens").get(i).intValue()).as("token %d", i).isEqualTo(token);
      if (i < 127) {
        assertThat(gguf.get("tokens").get(i).intValue()).as("token %d", i).isEqualTo(token);
      }
    }
  }

  private static ObjectNode greedy(Path model) {
    return Run.lathe(
            "generate",
            "--model",
            model.toString(),
            "--prompt",
            "",
            "--max-tokens",
            "199",
            "--json")
        .json();
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
