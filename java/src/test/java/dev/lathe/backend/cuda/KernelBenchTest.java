package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The benchmark runs to its end, and what it says of an emulated GPU is no speed. */
@Tag("cuda")
class KernelBenchTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();
  private final ByteArrayOutputStream log = new ByteArrayOutputStream();

  private KernelBench bench(String... arguments) {
    return new KernelBench(
        new PrintStream(out, true, UTF_8), new PrintStream(log, true, UTF_8), arguments);
  }

  @Test
  void runsAndCallsNothingASpeed() throws IOException {
    assumeTrue(CudaDriver.kind().emulated(), "on a real GPU scripts/gpu-check runs it whole");
    bench("--tiny").run();
    assertThat(out.toString(UTF_8).lines())
        .anyMatch(line -> line.contains("\"linear_bf16\""))
        .anyMatch(line -> line.contains("\"linear_bitmap_bf16\""))
        .anyMatch(line -> line.contains("\"rms_norm_f32\""))
        .anyMatch(line -> line.contains("\"embedding_bitmap_bf16\""))
        .allSatisfy(line ->
            assertThat(line)
                .contains("\"bench\":", "\"side\":\"lathe\"", "no speed")
                .doesNotContain("samples_us", "bytes\":"));
    assertThat(log.toString(UTF_8)).doesNotContain("GB/s", "TFLOP");
  }

  @Test
  void wholeShapesAreRefusedOnTheEmulatedGpu() {
    assumeTrue(CudaDriver.kind().emulated(), "on a real GPU scripts/gpu-check runs it whole");
    assertThatThrownBy(() -> bench().run())
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("--tiny");
    assertThat(out.toString(UTF_8)).isEmpty();
  }
}
