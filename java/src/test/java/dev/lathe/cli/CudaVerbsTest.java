package dev.lathe.cli;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.measure.TraceCheck;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The verbs with {@code --backend cuda}, each in a JVM of its own: on the GPU that there is, or on
 * the emulated one without checks, which is many times faster and as right.
 */
@Tag("cuda")
class CudaVerbsTest {
  @TempDir private Path folder;

  /** What a verb prints as JSON on the GPU, which {@code profile} takes by itself. */
  private ObjectNode lathe(String... line) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                withoutNd4j(System.getProperty("java.class.path")),
                Main.class.getName()));
    command.addAll(List.of(line));
    command.add("--json");
    if (!command.contains("doctor") && !command.contains("profile")) {
      command.addAll(List.of("--backend", "cuda"));
    }
    Path errors = folder.resolve("stderr.txt");
    ProcessBuilder process = new ProcessBuilder(command).redirectError(errors.toFile());
    if (CudaDriver.kind().emulated()) {
      process.environment().put(CudaDriver.EMULATE_VARIABLE, "fast");
    }
    Process running = process.start();
    String output = new String(running.getInputStream().readAllBytes(), UTF_8);
    assertThat(running.waitFor()).as(Files.readString(errors)).isZero();
    return JsonMapper.shared().readValue(output, ObjectNode.class);
  }

  /** A GPU host gets a package without ND4J, so nothing on the way may load it. */
  private static String withoutNd4j(String classPath) {
    String left =
        Arrays.stream(classPath.split(File.pathSeparator))
            .filter(entry -> !entry.matches(".*/(nd4j|javacpp|openblas|mkl|libnd4j)[^/]*jar"))
            .collect(Collectors.joining(File.pathSeparator));
    assertThat(left.equals(classPath)).isEqualTo(!classPath.contains("nd4j-native"));
    return left;
  }

  @Test
  void greedyTokensAreTheReferences() throws IOException, InterruptedException {
    SharedModel.assume();
    JsonNode expected =
        JsonMapper.shared().readTree(SharedModel.EXPECTED.toFile()).get("greedy_200_from_bos");
    ObjectNode generated =
        lathe(
            "generate",
            "--model",
            SharedModel.MODEL.toString(),
            "--max-tokens",
            "199",
            "--ignore-eos");
    assertThat(generated.get("backend").stringValue()).isEqualTo("cuda");
    List<Integer> tokens = new ArrayList<>();
    generated.get("tokens").forEach(token -> tokens.add(token.intValue()));
    List<Integer> wanted = new ArrayList<>();
    expected.forEach(token -> wanted.add(token.intValue()));
    assertThat(tokens).isEqualTo(wanted.subList(1, wanted.size()));
  }

  /** Prompts of several lengths, more of them than run together, long enough for many steps. */
  @Test
  void batchGeneratesWhatTheCpuGenerates() throws IOException, InterruptedException {
    SharedModel.assume();
    String[] generate = {
      "generate",
      "--model",
      SharedModel.MODEL.toString(),
      "--prompt",
      "The dog",
      "--prompt",
      "",
      "--prompt",
      "Once upon a time, there was a little girl who",
      "--batch",
      "2",
      "--max-tokens",
      "40",
      "--ignore-eos"
    };
    List<String> onCpu = new ArrayList<>(List.of(generate));
    onCpu.addAll(List.of("--backend", "cpu", "--json"));
    JsonNode cpu = Run.lathe(onCpu.toArray(String[]::new)).json().get("generations");
    JsonNode cuda = lathe(generate).get("generations");
    assertThat(cuda.size()).isEqualTo(3);
    for (int i = 0; i < 3; i++) {
      assertThat(cuda.get(i).get("tokens")).isEqualTo(cpu.get(i).get("tokens"));
      assertThat(cuda.get(i).get("tokens").size()).isEqualTo(40);
    }
  }

  @Test
  void perplexityOfEightStoriesIsTheCpus() throws IOException, InterruptedException {
    SharedModel.assume();
    String[] eval = {
      "eval",
      "--model",
      SharedModel.MODEL.toString(),
      "--text",
      SharedModel.TEXT.toString(),
      "--separator",
      SharedModel.SEPARATOR,
      "--max-documents",
      "8"
    };
    assertSamePerplexity(eval, 1000);
  }

  @Test
  void perplexityOfTheEmbeddedTextIsTheCpus() throws IOException, InterruptedException {
    String heldOut =
        Run.lathe("eval", "--max-documents", "1", "--json").json().get("text").stringValue();
    String text =
        Files.readString(Path.of(heldOut)).lines().limit(60).collect(Collectors.joining("\n"));
    Path start = Files.writeString(folder.resolve("text.txt"), text);
    assertSamePerplexity(
        new String[] {"eval", "--model", "embedded", "--text", start.toString()}, 2000);
  }

  /** 16-bit weights, activations beside them and a cache of the same type: 8 bits of fraction. */
  @Test
  void perplexityInBf16IsTheCpusWithinWhatBf16Costs() throws IOException, InterruptedException {
    SharedModel.assume();
    Path bf16 = folder.resolve("bf16");
    Run.lathe(
            "convert",
            "--model",
            SharedModel.MODEL.toString(),
            "--format",
            "safetensors",
            "--dtype",
            "bf16",
            "--out",
            bf16.toString(),
            "--json")
        .json();
    assertSamePerplexity(
        new String[] {
          "eval",
          "--model",
          bf16.toString(),
          "--text",
          SharedModel.TEXT.toString(),
          "--separator",
          SharedModel.SEPARATOR,
          "--max-documents",
          "3"
        },
        300,
        5e-3);
  }

  /**
   * Through the files: activations become INT8 on both sides, by the same rule. Plain Java, because
   * the native kernels keep keys and values of a quantized model in BF16.
   */
  @Test
  void w8a8GeneratesWhatTheReferenceGenerates() throws IOException, InterruptedException {
    List<String> w8a8 = generateQuantized("w8a8");
    JsonNode tokens = lathe(w8a8.toArray(String[]::new)).get("tokens");
    assertThat(tokens.size()).isEqualTo(40);
    assertThat(tokens).isEqualTo(reference(w8a8));
    // Activations as they are, beside the same weights, give other tokens: it would be seen.
    assertThat(tokens).isNotEqualTo(reference(generateQuantized("w8a16")));
  }

  private List<String> generateQuantized(String scheme) {
    String out = folder.resolve(scheme).toString();
    Run.lathe("quantize", "--model", "embedded", "--scheme", scheme, "--out", out, "--json").json();
    String prompt = "Once upon a time"; // where the two schemes part
    return List.of(
        "generate", "--model", out, "--prompt", prompt, "--max-tokens", "40", "--ignore-eos");
  }

  private static JsonNode reference(List<String> generate) {
    List<String> line = new ArrayList<>(generate);
    line.addAll(List.of("--backend", "reference", "--json"));
    return Run.lathe(line.toArray(String[]::new)).json().get("tokens");
  }

  @Test
  void profileTimesOnTheDeviceAgainstCeilingsOfTheDevice()
      throws IOException, InterruptedException {
    SharedModel.assume();
    ObjectNode profile =
        lathe(
            "profile",
            "--model",
            SharedModel.MODEL.toString(),
            "--prompt-tokens",
            "4",
            "--max-tokens",
            "3",
            "--repetitions",
            "1",
            "--out",
            folder.resolve("run").toString());
    assertThat(profile.get("backend").stringValue()).isEqualTo("cuda");
    assertThat(profile.get("ceilings").get("source").stringValue()).contains("GPU");
    assertThat(profile.get("ops").size()).isGreaterThan(5);
    profile
        .get("ops")
        .forEach(op -> assertThat(op.get("time_ms").doubleValue()).as(op.toString()).isPositive());
    assertThat(profile.get("ceilings").get("tensor_cores").get("bf16_gflops").doubleValue())
        .isPositive();
    assertThat(profile.get("kernels").size()).isGreaterThan(10);
    for (JsonNode kernel : profile.get("kernels")) {
      for (String key : List.of("phase", "name", "calls", "time_ms", "percent")) {
        assertThat(kernel.has(key)).as("%s of %s", key, kernel).isTrue();
      }
    }
    assertThat(profile.get("kernels"))
        .filteredOn(kernel -> kernel.get("kind").stringValue().equals("kernel"))
        .allSatisfy(kernel -> {
          assertThat(kernel.get("operation").stringValue()).isNotBlank();
          assertThat(kernel.get("grid").size()).isEqualTo(3);
          assertThat(kernel.get("block").intValue()).isPositive();
        });
    // Three tokens: of two decode steps both are replayed, one behind the other.
    assertThat(profile.get("host_gap_percent").doubleValue()).isBetween(0.0, 100.0);
    assertThat(profile.get("host_gap").get("steps").intValue()).isEqualTo(1);
    assertThat(profile.get("syncs"))
        .extracting(sync -> sync.get("where").stringValue())
        .contains("download");
    assertThat(profile.get("syncs"))
        .allSatisfy(sync -> {
          assertThat(sync.get("calls").intValue()).isPositive();
          assertThat(sync.get("wait_ms").doubleValue()).isNotNegative();
        });
    TraceCheck trace = new TraceCheck(Files.readAllBytes(folder.resolve("run/trace.json")));
    assertThat(trace.track("decode, every", "device")).isNotEmpty();
    JsonNode results = JsonMapper.shared().readTree(folder.resolve("run/results.json").toFile());
    assertThat(results.get("kernels")).isEqualTo(profile.get("kernels"));
  }

  @Test
  void doctorShowsTheDevice() throws IOException, InterruptedException {
    JsonNode cuda = lathe("doctor").get("backends").get(0);
    assertThat(cuda.get("name").stringValue()).isEqualTo("cuda");
    assertThat(cuda.get("usable").booleanValue()).as(cuda.toString()).isTrue();
    assertThat(cuda.get("device").stringValue()).isNotBlank();
    assertThat(cuda.get("memory_bytes").longValue()).isPositive();
    // An emulated GPU has no speed that could be measured.
    for (String key :
        List.of(
            "peak_bandwidth_gbs",
            "peak_tflops",
            "peak_bf16_tensor_tflops",
            "peak_int8_tensor_tops")) {
      assertThat(cuda.get(key).isNull()).as(key).isEqualTo(CudaDriver.kind().emulated());
    }
  }

  private void assertSamePerplexity(String[] eval, int leastTokens)
      throws IOException, InterruptedException {
    assertSamePerplexity(eval, leastTokens, 1e-4);
  }

  private void assertSamePerplexity(String[] eval, int leastTokens, double relative)
      throws IOException, InterruptedException {
    List<String> onCpu = new ArrayList<>(List.of(eval));
    onCpu.addAll(List.of("--backend", "cpu", "--json"));
    ObjectNode cpu = Run.lathe(onCpu.toArray(String[]::new)).json();
    ObjectNode cuda = lathe(eval);
    assertThat(cuda.get("backend").stringValue()).isEqualTo("cuda");
    assertThat(cuda.get("tokens")).isEqualTo(cpu.get("tokens"));
    assertThat(cuda.get("tokens").intValue()).isGreaterThanOrEqualTo(leastTokens);
    double perplexity = cpu.get("perplexity").doubleValue();
    assertThat(cuda.get("perplexity").doubleValue())
        .isCloseTo(perplexity, within(relative * perplexity));
  }
}
