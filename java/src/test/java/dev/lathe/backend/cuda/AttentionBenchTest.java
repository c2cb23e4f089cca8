package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The benchmark runs to its end, and what it says of an emulated GPU is no speed. */
@Tag("cuda")
class AttentionBenchTest {
  @Test
  void runsAndCallsNothingASpeed() {
    assumeTrue(CudaDriver.kind().emulated(), "on a real GPU scripts/gpu-check runs it whole");
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream log = new ByteArrayOutputStream();
    new AttentionBench(new PrintStream(out, true, UTF_8), new PrintStream(log, true, UTF_8))
        .run(Path.of(System.getProperty("lathe.root", "..")), true);
    assertThat(out.toString(UTF_8).lines())
        .hasSizeGreaterThanOrEqualTo(2)
        .allSatisfy(line ->
            assertThat(line)
                .contains("\"bench\":\"attention_", "\"difference\":", "no time of it is a speed")
                .doesNotContain("samples_us", "gbs"));
    assertThat(log.toString(UTF_8)).doesNotContain("GB/s");
  }
}
