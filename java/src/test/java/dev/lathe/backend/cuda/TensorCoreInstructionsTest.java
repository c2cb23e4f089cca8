package dev.lathe.backend.cuda;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.backend.Arithmetic;
import dev.lathe.backend.NativeLibraries;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * What the machine code multiplies with, as {@code cuobjdump -sass} shows it: {@link
 * KernelArithmetic} is true for every kernel on sm_90a, and the ceilings' kernels have their 8
 * instructions a step on all of them, none optimized away.
 */
class TensorCoreInstructionsTest {
  private static final int TILES = 8;
  private static final Pattern ARCHITECTURE = Pattern.compile("arch = (sm_\\w+)");
  private static final Pattern FUNCTION = Pattern.compile("Function : (\\w+)");
  private static final Pattern MULTIPLY = Pattern.compile("\\b([HI])MMA\\b");

  /** Of one kernel on one architecture. */
  private record Count(int floats, int integers) {
    Count plus(char kind) {
      return kind == 'H' ? new Count(floats + 1, integers) : new Count(floats, integers + 1);
    }

    Arithmetic arithmetic() {
      if (floats > 0 && integers > 0) {
        throw new AssertionError("both kinds in one kernel: " + this);
      }
      return floats > 0
          ? Arithmetic.BF16_TENSOR_CORES
          : integers > 0 ? Arithmetic.INT8_TENSOR_CORES : Arithmetic.F32;
    }
  }

  @Test
  void everyKernelMultipliesWithWhatTheTableSays() throws IOException, InterruptedException {
    Path program = cuobjdump();
    List<String> wrong = new ArrayList<>();
    int kernels = 0;
    for (String module : modules()) {
      Map<String, Map<String, Count>> found =
          parse(disassemble(program, module, "-arch", "sm_90a"));
      assertThat(found).as(module).isNotEmpty();
      kernels += found.size();
      wrong.addAll(wrong(module, found));
    }
    assertThat(wrong).isEmpty();
    assertThat(kernels).isGreaterThan(50);
  }

  @Test
  void noTileOfTheCeilingsIsOptimizedAway() throws IOException, InterruptedException {
    Map<String, Map<String, Count>> found = parse(disassemble(cuobjdump(), "ceilings"));
    assertThat(found.get("mma_bf16")).hasSize(6);
    found.get("mma_bf16").forEach((architecture, count) -> requireTiles(count.floats));
    found.get("mma_s8").forEach((architecture, count) -> requireTiles(count.integers));
  }

  /** The loop is unrolled, each turn with all of them. */
  private static void requireTiles(int instructions) {
    assertThat(instructions).isGreaterThanOrEqualTo(TILES);
    assertThat(instructions % TILES).as("of %d instructions", instructions).isZero();
  }

  @Test
  void canaryWrongTableAndMissingInstructionsAreSeen() {
    List<String> text =
        List.of(
            "arch = sm_90a",
            "\t\tFunction : mma_bf16",
            "        /*0100*/   HMMA.16816.F32.BF16 R4, R8, R2, R4 ;",
            "        /*0110*/   HMMA.16816.F32.BF16 R4, R8, R2, R4 ;",
            "\t\tFunction : mma_s8",
            "        /*0100*/   IMAD R4, R8, R2, R4 ;",
            "\t\tFunction : read_buffer",
            "        /*0100*/   IMMA.16832.S8.S8 R4, R8, R2, R4 ;");
    Map<String, Map<String, Count>> found = parse(text);
    assertThat(found.get("mma_bf16").get("sm_90a")).isEqualTo(new Count(2, 0));
    assertThat(wrong("ceilings", found))
        .containsExactly(
            "ceilings: mma_s8 on sm_90a multiplies with f32, the table says int8 tensor cores",
            "ceilings: read_buffer on sm_90a multiplies with int8 tensor cores, the table says f32");
    assertThat(catchTiles(2)).isInstanceOf(AssertionError.class);
    assertThat(catchTiles(15)).isInstanceOf(AssertionError.class);
    assertThat(catchTiles(16)).isNull();
  }

  private static Throwable catchTiles(int instructions) {
    return org.assertj.core.api.Assertions.catchThrowable(() -> requireTiles(instructions));
  }

  private static List<String> wrong(String module, Map<String, Map<String, Count>> found) {
    List<String> wrong = new ArrayList<>();
    found.forEach((kernel, architectures) ->
        architectures.forEach((architecture, count) -> {
          Arithmetic said = KernelArithmetic.of(module, kernel);
          if (count.arithmetic() != said) {
            wrong.add(
                "%s: %s on %s multiplies with %s, the table says %s"
                    .formatted(module, kernel, architecture, count.arithmetic(), said));
          }
        }));
    return wrong;
  }

  /** Instructions by kernel and architecture. */
  private static Map<String, Map<String, Count>> parse(List<String> text) {
    Map<String, Map<String, Count>> found = new TreeMap<>();
    String architecture = "";
    String function = "";
    for (String line : text) {
      Matcher match = ARCHITECTURE.matcher(line);
      if (match.find()) {
        architecture = match.group(1);
      }
      match = FUNCTION.matcher(line);
      if (match.find()) {
        function = match.group(1);
        found.computeIfAbsent(function, name -> new TreeMap<>()).put(architecture, new Count(0, 0));
      }
      match = MULTIPLY.matcher(line);
      if (match.find()) {
        char kind = match.group(1).charAt(0);
        found.get(function).compute(architecture, (name, count) -> count.plus(kind));
      }
    }
    return found;
  }

  private static List<String> disassemble(Path program, String module, String... options)
      throws IOException, InterruptedException {
    Path fatbin = NativeLibraries.locate("cuda", "cuda/" + module + ".fatbin");
    List<String> command = new ArrayList<>(List.of(program.toString(), "-sass"));
    command.addAll(List.of(options));
    command.add(fatbin.toString());
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor()).as(text).isZero();
    return text.lines().toList();
  }

  private static List<String> modules() throws IOException {
    try (Stream<Path> files =
        Files.list(Path.of(System.getProperty("lathe.root"), "cuda-kernels"))) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(name -> name.endsWith(".cu"))
          .map(name -> name.substring(0, name.length() - ".cu".length()))
          .sorted()
          .toList();
    }
  }

  /** Part of the CUDA toolkit, but not of every installation of nvcc. */
  private static Path cuobjdump() {
    assumeTrue(
        NativeLibraries.find("cuda/ceilings.fatbin").isPresent(),
        () -> "no fatbins: " + NativeLibraries.whyMissing("cuda"));
    List<Path> folders = new ArrayList<>();
    Optional.ofNullable(System.getenv("CUDA_HOME"))
        .ifPresent(home -> folders.add(Path.of(home, "bin")));
    folders.add(Path.of("/usr/local/cuda/bin"));
    Stream.of(System.getenv("PATH").split(File.pathSeparator)).map(Path::of).forEach(folders::add);
    Optional<Path> found =
        folders.stream()
            .map(folder -> folder.resolve("cuobjdump"))
            .filter(Files::isExecutable)
            .findFirst();
    assumeTrue(found.isPresent(), "cuobjdump was not found in CUDA_HOME, /usr/local/cuda or PATH");
    return found.orElseThrow();
  }
}
