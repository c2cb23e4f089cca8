package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.checkpoint.StrictJson;
import dev.lathe.files.CalibrationData;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** The verbs without a model and without a text: the embedded model and its held-out text. */
class EmbeddedVerbsTest {
  private static final Path EMBEDDED = CalibrationData.embeddedModel();
  private static final JsonNode STATED =
      StrictJson.readObject(EMBEDDED.resolve("scores.json")).get("held_out");

  @TempDir private Path folder;

  private static ObjectNode json(String... line) {
    String[] all = List.of(line).toArray(new String[line.length + 1]);
    all[line.length] = "--json";
    return Run.lathe(all).json();
  }

  private String out(String name) {
    return folder.resolve(name).toString();
  }

  @Test
  void evalWithoutAnythingScoresTheEmbeddedModelOnItsHeldOutText() {
    ObjectNode scored = json("eval");
    double perplexity = STATED.get("perplexity").doubleValue();
    assertThat(scored.get("perplexity").doubleValue())
        .isCloseTo(perplexity, within(1e-4 * perplexity));
    assertThat(scored.get("tokens")).isEqualTo(STATED.get("tokens"));
    assertThat(scored.get("documents")).isEqualTo(STATED.get("documents"));
    assertThat(scored.get("cut_documents")).isEqualTo(STATED.get("cut_documents"));
  }

  @Test
  void keysAndValuesAreKeptAsTheUserSays() {
    String[] line = {"eval", "--max-documents", "2", "--backend", "cpu", "--cpu-kernels", "nd4j"};
    ObjectNode auto = json(line);
    assertThat(auto.get("kv_cache_type").stringValue()).isEqualTo("f32");
    assertThat(json(with(line, "--kv-cache-type", "auto"))).isEqualTo(auto);
    ObjectNode int8 = json(with(line, "--kv-cache-type", "int8", "--base", "embedded"));
    assertThat(int8.get("kv_cache_type").stringValue()).isEqualTo("int8");
    // The base is kept as it was; what was rounded shows.
    assertThat(int8.get("base_perplexity")).isEqualTo(auto.get("perplexity"));
    assertThat(int8.get("kl_mean").doubleValue()).isBetween(1e-9, 1e-2);
    Run.lathe(with(line, "--kv-cache-type", "bf16"))
        .refused(2)
        .says("--kv-cache-type bf16: the cpu backend keeps keys and values as f32, f16, int8");
    for (String verb : List.of("eval", "generate", "profile")) {
      Run.lathe(verb, "--kv-cache-type", "fp8")
          .refused(2)
          .says("--kv-cache-type fp8: there are auto, f32, f16, bf16, int8");
    }
  }

  @Test
  void aProfileSaysWhatKeysAndValuesAreKeptAs() {
    String[] line = {
      "profile",
      "--backend",
      "cpu",
      "--cpu-kernels",
      "nd4j",
      "--prompt-tokens",
      "4",
      "--max-tokens",
      "2",
      "--repetitions",
      "1"
    };
    ObjectNode half = json(with(line, "--kv-cache-type", "f16"));
    ObjectNode int8 = json(with(line, "--kv-cache-type", "int8"));
    assertThat(half.get("kv_cache_type").stringValue()).isEqualTo("f16");
    assertThat(int8.get("kv_cache_type").stringValue()).isEqualTo("int8");
    JsonNode config = StrictJson.readObject(EMBEDDED.resolve("config.json"));
    int heads = config.get("num_attention_heads").intValue();
    int headDim = config.get("hidden_size").intValue() / heads;
    long rows =
        2L
            * config.get("num_hidden_layers").intValue()
            * config.get("num_key_value_heads").intValue();
    assertThat(half.get("kv_bytes_per_token").longValue()).isEqualTo(rows * headDim * 2);
    assertThat(int8.get("kv_bytes_per_token").longValue()).isEqualTo(rows * (headDim + 4));
    assertThat(Run.lathe(with(line, "--kv-cache-type", "int8")).out())
        .contains("%,d of KV-cache (int8) a token".formatted(rows * (headDim + 4)));
    ObjectNode text =
        json(
            "generate",
            "--cpu-kernels",
            "nd4j",
            "--backend",
            "cpu",
            "--max-tokens",
            "2",
            "--kv-cache-type",
            "int8");
    assertThat(text.get("kv_cache_type").stringValue()).isEqualTo("int8");
  }

  @Test
  void quantizedKeysAndValuesLeaveTheWeights() throws IOException {
    ObjectNode made = json("quantize", "--scheme", "kv8", "--out", out("kv8"));
    assertThat(made.get("layers").size()).isZero();
    assertThat(made.get("kv_cache_type").stringValue()).isEqualTo("int8");
    assertThat(made.get("kv_bytes_per_token").longValue()).isEqualTo(2 * 4 * 4 * (32 + 4));
    assertThat(folder.resolve("kv8/model.safetensors"))
        .hasSameBinaryContentAs(EMBEDDED.resolve("model.safetensors"));
    String[] nd4j = {"eval", "--backend", "cpu", "--cpu-kernels", "nd4j", "--max-documents", "2"};
    ObjectNode scored = json(with(nd4j, "--model", out("kv8"), "--base", "embedded"));
    assertThat(scored.get("kv_cache_type").stringValue()).isEqualTo("int8");
    assertThat(scored.get("loss_percent").doubleValue()).isBetween(-0.5, 0.5);
    assertThat(scored.get("kl_mean").doubleValue()).isPositive();
    assertThat(json(with(nd4j, "--model", out("kv8"), "--kv-cache-type", "f32")).get("perplexity"))
        .isEqualTo(scored.get("base_perplexity"));
    // As text: no table of matrices that nothing was done to.
    Run text = Run.lathe("quantize", "--model", out("kv8"), "--out", out("int8"));
    assertThat(text.code()).isZero();
    assertThat(text.out())
        .contains("layer ")
        .endsWith("keys and values as int8: 1,152 bytes a token, 3.56 times smaller than as F32\n");
    Run alone = Run.lathe("quantize", "--scheme", "kv8", "--out", out("text"));
    assertThat(alone.out().lines()).hasSize(2).noneMatch(line -> line.startsWith("layer "));
    Run.lathe("quantize", "--scheme", "kv8", "--asymmetric", "--out", out("no"))
        .refused(2)
        .says("--asymmetric: kv8 is symmetric, it has no zero points");
    Run.lathe("quantize", "--scheme", "kv8", "--model", out("kv8"), "--out", out("no"))
        .refused(2)
        .says("the model asks for keys and values as int8 already");
    assertThat(folder.resolve("no")).doesNotExist();
  }

  private static String[] with(String[] line, String... more) {
    return Stream.concat(Stream.of(line), Stream.of(more)).toArray(String[]::new);
  }

  @Test
  void namedThroughItsTextItIsTheSame() {
    ObjectNode byDefault = json("eval", "--max-documents", "20");
    ObjectNode named =
        json(
            "eval",
            "--model",
            EMBEDDED.toString(),
            "--text",
            byDefault.get("text").stringValue(),
            "--separator",
            "<|end|>",
            "--max-documents",
            "20");
    assertThat(named).isEqualTo(byDefault);
    assertThat(byDefault.get("documents").intValue()).isEqualTo(20);
  }

  @Test
  void whatIsMadeFromItIsMeasuredOnTheSameText() {
    json("quantize", "--out", out("int8"));
    json("prune", "--model", out("int8"), "--sparsity", "0.2", "--out", out("sparse"));
    json("convert", "--format", "gguf", "--dtype", "q8_0", "--out", out("model.gguf"));
    JsonNode tokens = json("eval", "--max-documents", "20").get("tokens");
    for (String made : List.of("int8", "sparse", "model.gguf")) {
      ObjectNode scored =
          json("eval", "--model", out(made), "--base", "embedded", "--max-documents", "20");
      assertThat(scored.get("tokens")).as(made).isEqualTo(tokens);
      assertThat(scored.get("loss_percent").doubleValue()).as(made).isBetween(-1.0, 5.0);
      assertThat(scored.get("kl_mean").doubleValue()).as(made).isPositive();
    }
  }

  @Test
  void optimizeTakesModelAndTextOfItsOwn() throws IOException {
    Path recipe =
        Files.writeString(
            folder.resolve("recipe.yaml"),
            """
            name: short
            max_loss: 2%
            steps:
              - {technique: quantize, scheme: w8a16}
            generation: {tokens: 8, repetitions: 1, batch: 2}
            """);
    ObjectNode run =
        json(
            "optimize",
            "embedded",
            "--recipe",
            recipe.toString(),
            "--max-documents",
            "20",
            "--out",
            out("run"));
    JsonNode quantized = run.get("stages").get(1);
    assertThat(quantized.get("accepted").booleanValue()).isTrue();
    assertThat(quantized.get("quality").get("tokens"))
        .isEqualTo(json("eval", "--max-documents", "20").get("tokens"));
    // What a run leaves comes from the embedded model too.
    ObjectNode left = json("eval", "--model", run.get("model").stringValue());
    assertThat(left.get("tokens")).isEqualTo(STATED.get("tokens"));
  }

  @Test
  void anotherModelNeedsAText() throws IOException {
    Path other = Files.createDirectories(folder.resolve("other"));
    for (String name : List.of("config.json", "model.safetensors", "tokenizer.json")) {
      Files.copy(EMBEDDED.resolve(name), other.resolve(name));
    }
    Run.lathe("eval", "--model", other.toString())
        .refused(2)
        .says(other.toString(), "does not come from the embedded model", "--text FILE");
    Run.lathe("optimize", other.toString(), "--out", out("run"))
        .refused(2)
        .says(other.toString(), "--text FILE");
    // Trained on other text: what is held out here may have been in it.
    String lineage = Files.readString(EMBEDDED.resolve("lineage.json"));
    Files.writeString(
        other.resolve("lineage.json"), lineage.replaceFirst("corpus [0-9a-f]{4}", "corpus 0000"));
    Run.lathe("eval", "--model", other.toString())
        .refused(2)
        .says(other.toString(), "another version", "--text FILE");
    assertThat(folder.resolve("run")).doesNotExist();
  }

  @Test
  void aSeparatorBelongsToAText() {
    Run.lathe("eval", "--separator", "#").refused(2).says("--separator", "--text");
    Run.lathe("optimize", "--separator", "#", "--out", out("run"))
        .refused(2)
        .says("--separator", "--text");
  }
}
