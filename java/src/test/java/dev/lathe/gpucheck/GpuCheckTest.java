package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * gpu-check on the emulated GPU, as a user starts it, with the packed jar: a few tests and all
 * benchmarks, cut off by the end of a call and gone on with. The whole of it is {@link
 * GpuCheckWholeTest}.
 */
@Tag("launcher")
class GpuCheckTest {
  static final Path ROOT = Path.of(System.getProperty("lathe.root")).toAbsolutePath().normalize();

  @TempDir private Path folder;

  @BeforeEach
  void packed() {
    Path jar = ROOT.resolve("java/target/lathe.jar");
    assumeTrue(Files.isRegularFile(jar), "skipped: " + jar + " is not packed yet");
  }

  record Ended(int code, String err, JsonNode report) {
    JsonNode part(String id) {
      return report
          .get("parts")
          .valueStream()
          .filter(part -> part.get("part").stringValue().equals(id))
          .findFirst()
          .orElseThrow(() -> new AssertionError("no part " + id + ": " + err));
    }
  }

  /** What scripts/gpu-check does, without compiling what is being tested. */
  static Ended check(Path folder, long minutes, String... arguments)
      throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseSerialGC",
                "--enable-native-access=ALL-UNNAMED",
                "-Dlathe.shared=" + System.getProperty("lathe.shared"),
                "-Dlathe.root=" + ROOT,
                "-Dlathe.commit=test",
                "-Djazzer.hooks=false",
                "-cp",
                System.getProperty("java.class.path"),
                GpuCheck.class.getName(),
                "--emulated",
                "--work",
                folder.toString()));
    command.addAll(Arrays.asList(arguments));
    Path err = folder.resolve("err");
    ProcessBuilder builder = new ProcessBuilder(command).redirectError(err.toFile());
    builder.environment().put("LATHE_EMULATE_CUDA", "1");
    builder.environment().put("LATHE_BUILD", "never");
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    Process process = builder.start();
    String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(minutes, TimeUnit.MINUTES)).as("it ends").isTrue();
    String said = Files.readString(err);
    assertThat(out).isEmpty();
    List<Path> reports;
    try (var files = Files.walk(folder)) {
      reports = files.filter(f -> f.getFileName().toString().equals("report.json")).toList();
    }
    assertThat(reports).as(said).hasSize(1);
    return new Ended(
        process.exitValue(),
        said,
        JsonMapper.shared().readTree(Files.readString(reports.getFirst())));
  }

  private Ended check(String... arguments) throws IOException, InterruptedException {
    return check(folder, 10, arguments);
  }

  @Test
  void partsRunToTheirEndAndNothingIsCalledASpeed() throws Exception {
    String[] few = {"--tests", "BenchLinesTest|NarrowFloat", "--only"};
    // A call that is over before it begins: one part gets a start, and nothing has failed.
    Ended cut =
        check(few[0], few[1], few[2], "instructions,tests,bench,peers", "--minutes", "0.051");
    assertThat(cut.code()).as(cut.err()).isEqualTo(GpuCheck.UNFINISHED);
    assertThat(cut.report().get("complete").booleanValue()).isFalse();
    assertThat(cut.err()).doesNotContain("failed", "timed out");

    Ended whole = check(few[0], few[1], few[2], "instructions,tests,bench,peers");
    assertThat(whole.code()).as(whole.err()).isZero();
    // Some tests are not all, and models were not asked for.
    assertThat(whole.report().get("complete").booleanValue()).isFalse();
    String some = " of BenchLinesTest|NarrowFloat";
    assertThat(whole.part("instructions.conformance" + some).get("tests").get("run").intValue())
        .isPositive();
    assertThat(whole.part("tests.cuda" + some).get("tests").get("run").intValue()).isEqualTo(3);
    for (String part : List.of("bench.asked", "bench.rest", "peers.asked", "peers.rest")) {
      assertThat(whole.part(part).get("data").size()).as(part).isGreaterThan(4);
    }
    assertThat(whole.report().get("rows").isEmpty()).isTrue();
    assertThat(whole.report().get("asks").valueStream())
        .hasSize(10)
        .allSatisfy(ask -> assertThat(ask.get("verdict").stringValue()).isEqualTo("not measured"));

    // Nothing is run twice.
    Ended again = check(few[0], few[1], few[2], "instructions,tests,bench,peers");
    assertThat(again.code()).isZero();
    assertThat(again.err()).doesNotContain("passed     ");
  }
}
