package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.gpucheck.GpuCheckTest.Ended;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** All of gpu-check on the emulated GPU: minutes. */
@Tag("long")
class GpuCheckWholeTest {
  @TempDir private Path folder;

  @Test
  void everyPartPasses() throws Exception {
    Path jar = GpuCheckTest.ROOT.resolve("java/target/lathe.jar");
    assumeTrue(Files.isRegularFile(jar), "skipped: " + jar + " is not packed yet");
    Ended whole = GpuCheckTest.check(folder, 60);
    assertThat(whole.code()).as(whole.err()).isZero();
    assertThat(whole.report().get("complete").booleanValue()).isTrue();
    assertThat(whole.part("tests.cuda").get("tests").get("run").intValue()).isGreaterThan(500);
    assertThat(whole.part("models.decode-embedded").get("data").size()).isPositive();
  }
}
