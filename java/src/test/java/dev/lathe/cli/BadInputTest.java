package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.lathe.backend.cuda.CudaDriver;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Whatever is wrong with what a verb is given: one line that names it, exit 2, nothing written. */
class BadInputTest {
  @TempDir private Path folder;
  private Path model;

  @BeforeEach
  void copyModel() throws IOException {
    SharedModel.assume();
    model = SharedModel.copyTo(folder.resolve("model"));
  }

  private Run generate(String... more) {
    return Run.lathe(
        Stream.concat(Stream.of("generate", "--model", model.toString()), Stream.of(more))
            .toArray(String[]::new));
  }

  private Run quantize() {
    return Run.lathe(
        "quantize", "--model", model.toString(), "--out", folder.resolve("out").toString());
  }

  private void assertNothingWritten() throws IOException {
    try (Stream<Path> left = Files.list(folder)) {
      assertThat(left).containsExactly(model);
    }
  }

  /** Writes the weights' header again, with a change that keeps its length. */
  private void changeHeader(String from, String to) throws IOException {
    assertThat(to).hasSameSizeAs(from);
    try (RandomAccessFile file =
        new RandomAccessFile(model.resolve("model.safetensors").toFile(), "rw")) {
      byte[] header = new byte[(int) Long.reverseBytes(file.readLong())];
      file.readFully(header);
      String text = new String(header, StandardCharsets.UTF_8);
      assertThat(text).contains(from);
      file.seek(8);
      file.write(text.replace(from, to).getBytes(StandardCharsets.UTF_8));
    }
  }

  private void truncateWeights(long bytes) throws IOException {
    try (RandomAccessFile file =
        new RandomAccessFile(model.resolve("model.safetensors").toFile(), "rw")) {
      file.setLength(bytes);
    }
  }

  @Test
  void emptyAndTruncatedWeights() throws IOException {
    truncateWeights(1_000_000);
    generate().refused(2).says("model.safetensors");
    quantize().refused(2).says("model.safetensors");
    truncateWeights(0);
    generate().refused(2).says("model.safetensors");
    assertNothingWritten();
  }

  @Test
  void aHeaderBeyondTheFileOrThatIsNoJson() throws IOException {
    changeHeader("{", "[");
    generate().refused(2).says("model.safetensors");
    try (RandomAccessFile file =
        new RandomAccessFile(model.resolve("model.safetensors").toFile(), "rw")) {
      file.writeLong(Long.reverseBytes(1L << 40));
    }
    generate().refused(2).says("model.safetensors");
  }

  @Test
  void aTensorOfAnotherTypeOrName() throws IOException {
    changeHeader("\"F32\"", "\"I64\"");
    generate().refused(2).says("model.safetensors");
    changeHeader("\"I64\"", "\"F32\"");
    changeHeader("model.norm.weight", "model.morn.weight");
    generate().refused(2).says("model.norm.weight");
  }

  @Test
  void noConfiguration() throws IOException {
    Files.delete(model.resolve("config.json"));
    generate().refused(2).says("config.json");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "\"LlamaForCausalLM\" | \"ParrotForCausalLM\" | ParrotForCausalLM",
        "\"num_attention_heads\": 8 | \"num_attention_heads\": 7 | num_",
        "\"vocab_size\": 512 | \"vocab_size\": 513 | 513",
        "\"hidden_size\": 64 | \"hidden_size\": -1 | hidden_size",
        "\"num_hidden_layers\": 5 | \"num_hidden_layers\": 6 | layers.5",
        "\"hidden_size\": 64, | '' | hidden_size",
        "\"hidden_size\": 64, | \"hidden_size\": 64, \"hidden_size\": 64, | hidden_size",
        "\"hidden_act\": | hidden_act: | config.json",
      })
  void aConfigurationThatIsWrong(String from, String to, String named) throws IOException {
    SharedModel.replace(model.resolve("config.json"), from, to);
    generate().refused(2).says(named);
  }

  @Test
  void aTokenizerThatIsMissingOrBroken() throws IOException {
    Files.writeString(model.resolve("tokenizer.json"), "{\"version\": ");
    generate().refused(2).says("tokenizer.json");
    Files.delete(model.resolve("tokenizer.json"));
    generate().refused(2).says("tokenizer.json");
  }

  @Test
  void aWeightThatIsNotANumber() throws IOException {
    Path weights = model.resolve("model.safetensors");
    try (RandomAccessFile file = new RandomAccessFile(weights.toFile(), "rw")) {
      file.seek(8 + Long.reverseBytes(file.readLong()) + 40); // in the first matrix
      file.writeInt(Integer.reverseBytes(Float.floatToRawIntBits(Float.NaN)));
    }
    refusedEverywhere("model.embed_tokens.weight", "NaN", "row 0, column 10", "finite");
  }

  @ParameterizedTest
  @CsvSource({"model.norm.weight, NaN", "model.layers.2.input_layernorm.weight, Infinity"})
  void aNormThatIsNotANumber(String tensor, float value) throws IOException {
    setFirst(tensor, value);
    refusedEverywhere(tensor, String.valueOf(value), "row 0, column 0", "finite");
  }

  /** No verb that reads the weights goes on, and none leaves anything. */
  private void refusedEverywhere(String... says) throws IOException {
    String out = folder.resolve("out").toString();
    String name = model.toString();
    generate().refused(2).says(says);
    quantize().refused(2).says(says);
    Run.lathe("prune", "--sparsity", "0.5", "--model", name, "--out", out).refused(2).says(says);
    Run.lathe("profile", "--model", name).refused(2).says(says);
    String text = SharedModel.TEXT.toString();
    Run.lathe("eval", "--model", name, "--text", text).refused(2).says(says);
    Run.lathe("optimize", "--model", name, "--text", text, "--out", out).refused(2).says(says);
    assertNothingWritten();
  }

  /** Overwrites the first value of a tensor. */
  private void setFirst(String tensor, float value) throws IOException {
    try (RandomAccessFile file =
        new RandomAccessFile(model.resolve("model.safetensors").toFile(), "rw")) {
      byte[] header = new byte[(int) Long.reverseBytes(file.readLong())];
      file.readFully(header);
      JsonNode entry = JsonMapper.shared().readTree(header).get(tensor);
      file.seek(8 + header.length + entry.get("data_offsets").get(0).longValue());
      file.writeInt(Integer.reverseBytes(Float.floatToRawIntBits(value)));
    }
  }

  @Test
  void aTokenizerOfALargerVocabulary() throws IOException {
    SharedModel.replace(
        model.resolve("tokenizer.json"),
        "\"added_tokens\": [",
        "\"added_tokens\": [{\"id\": 600, \"content\": \"girl\", \"single_word\": false,"
            + " \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": false}, ");
    generate().refused(2).says("tokenizer.json", "600", "512 rows", "vocab_size");
    String out = folder.resolve("out").toString();
    Run.lathe(
            "optimize",
            "--model",
            model.toString(),
            "--text",
            SharedModel.TEXT.toString(),
            "--out",
            out)
        .refused(2)
        .says("tokenizer.json");
    assertNothingWritten();
  }

  @Test
  void compressionRefusesAModelThatWouldNotRun() throws IOException {
    changeHeader("model.norm.weight", "model.morn.weight");
    quantize().refused(2).says("model.norm.weight", "model.morn.weight");
    changeHeader("model.morn.weight", "model.norm.weight");
    SharedModel.replace(model.resolve("config.json"), "LlamaForCausalLM", "ParrotForCausalLM");
    quantize().refused(2).says("ParrotForCausalLM");
    Run.lathe("prune", "--sparsity", "0.5", "--model", model.toString(), "--out", "unused")
        .refused(2)
        .says("ParrotForCausalLM");
    assertNothingWritten();
  }

  @Test
  void optimizeLeavesNothingWhereTheTokenizerIsMissing() throws IOException {
    Files.delete(model.resolve("tokenizer.json"));
    String text = SharedModel.TEXT.toString();
    String out = folder.resolve("out").toString();
    Run.lathe("optimize", "--model", model.toString(), "--text", text, "--out", out)
        .refused(2)
        .says("tokenizer.json");
    assertNothingWritten();
  }

  @Test
  void anOutputThatCannotBeMade() throws IOException {
    String model = this.model.toString();
    String text = SharedModel.TEXT.toString();
    for (String out : new String[] {"/proc/x", ""}) {
      String says = out.isEmpty() ? "--out" : "/proc/x";
      String why = out.isEmpty() ? "new folder" : "No such file or directory";
      int code = out.isEmpty() ? 2 : 1;
      Run.lathe("quantize", "--model", model, "--out", out).refused(code).says(says, why);
      Run.lathe("optimize", "--model", model, "--text", text, "--out", out)
          .refused(code)
          .says(says, why);
    }
    assertNothingWritten();
  }

  @Test
  void anEmptyPromptWithoutABeginningOfSequence() throws IOException {
    SharedModel.replace(model.resolve("config.json"), "\"bos_token_id\": 1,", "");
    SharedModel.replace(
        model.resolve("tokenizer_config.json"), "\"bos_token\": \"<s>\"", "\"bos_token\": null");
    SharedModel.replace(
        model.resolve("tokenizer_config.json"),
        "\"add_bos_token\": true",
        "\"add_bos_token\": false");
    generate("--prompt", "").refused(2).says("prompt is empty", "--prompt");
    assertThat(generate("--prompt", "Once", "--max-tokens", "2").code()).isZero();
  }

  @Test
  void aPromptLongerThanTheContext() {
    generate("--prompt", "no ".repeat(600)).refused(2).says("context is 512");
  }

  @ParameterizedTest
  @CsvSource({
    "--max-tokens, 0, at least 1",
    "--batch, 0, at least 1",
    "--batch, 100000000, at most 4096",
    "--threads, 2000000000, at most 1024",
    "--temperature, -1, temperature",
    "--temperature, warm, --temperature",
    "--top-p, 1.5, top-p",
    "--top-k, -3, top-k",
    "--stop, '', stop text is empty",
    "--threads, -1, --threads",
    "--backend, tpu, 'auto, cuda, cpu, reference'",
    "--cpu-kernels, best, 'auto, native, nd4j'"
  })
  void anOptionOutOfItsRange(String option, String value, String complaint) {
    generate(option, value).refused(2).says(complaint);
  }

  /** In a process of its own, because this one may have the emulated GPU. */
  @Test
  void aBackendThatIsNotUsableHere() throws IOException, InterruptedException {
    assumeFalse(Files.exists(Path.of("/dev/nvidiactl")), "there is a GPU here");
    ProcessBuilder lathe =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-cp",
            System.getProperty("java.class.path"),
            Main.class.getName(),
            "generate",
            "--model",
            model.toString(),
            "--prompt",
            "a",
            "--backend",
            "cuda");
    lathe.environment().put(CudaDriver.EMULATE_VARIABLE, "0");
    Process running = lathe.redirectErrorStream(true).start();
    String said = new String(running.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(running.waitFor()).as(said).isEqualTo(3);
    assertThat(said).contains("lathe: backend cuda cannot run here: libcuda.so.1");
  }

  @Test
  void aTextThatIsNotThereOrEmpty() throws IOException {
    String missing = folder.resolve("no.txt").toString();
    Run.lathe("eval", "--model", model.toString(), "--text", missing).refused(2).says("no.txt");
    Run.lathe("eval", "--model", model.toString()).refused(2).says("--text FILE");
    Path empty = Files.createFile(folder.resolve("empty.txt"));
    Run.lathe("eval", "--model", model.toString(), "--text", empty.toString())
        .refused(2)
        .says("empty.txt");
  }

  @Test
  void anOutputThatExists() throws IOException {
    Path out = Files.createDirectory(folder.resolve("out"));
    quantize().refused(2).says(out.toString(), "--out");
    Run.lathe("prune", "--sparsity", "0.5", "--model", model.toString(), "--out", out.toString())
        .refused(2)
        .says(out.toString(), "--out");
    assertThat(out).isEmptyDirectory();
  }

  @ParameterizedTest
  @CsvSource({
    "--scheme, w4a16, w8a16",
    "--method, gptq, rtn",
  })
  void whatThisVersionCannotQuantize(String option, String value, String existing) {
    String out = folder.resolve("out").toString();
    Run.lathe("quantize", "--model", model.toString(), "--out", out, option, value)
        .refused(2)
        .says(option + " " + value, "this version has " + existing);
  }

  @Test
  void w8a8HasNoZeroPoints() {
    String out = folder.resolve("out").toString();
    Run.lathe(
            "quantize",
            "--model",
            model.toString(),
            "--out",
            out,
            "--scheme",
            "w8a8",
            "--asymmetric")
        .refused(2)
        .says("--asymmetric: w8a8 is symmetric");
    assertThat(folder.resolve("out")).doesNotExist();
  }

  @ParameterizedTest
  @CsvSource({
    "--pattern, 2:4, unstructured",
    "--method, wanda, magnitude",
    "--sparsity, 1, below 1",
    "--sparsity, NaN, below 1",
    "--scope, block, layer",
  })
  void whatThisVersionCannotPrune(String option, String value, String complaint) {
    String out = folder.resolve("out").toString();
    Stream<String> sparsity =
        option.equals("--sparsity") ? Stream.empty() : Stream.of("--sparsity", "0.5");
    String[] line =
        Stream.concat(
                Stream.of("prune", "--model", model.toString(), "--out", out, option, value),
                sparsity)
            .toArray(String[]::new);
    Run.lathe(line).refused(2).says(complaint);
  }
}
