package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.gpucheck.Items;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import jcuda.driver.JCudaDriver;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What a benchmark prints; its times are looked at where there is a GPU. */
@Tag("cuda")
class BenchLinesTest {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  @Test
  void lineHasItsSamplesAndEveryCopyIsLaunchedOn() {
    ByteArrayOutputStream text = new ByteArrayOutputStream();
    try (CudaBench bench = new CudaBench()) {
      BenchLines lines =
          new BenchLines(
              bench.context, new Items(new PrintStream(text, true, UTF_8), Set.of()), true);
      Tensor target = bench.device(DType.F32, 256);
      Set<Long> used = new TreeSet<>();
      BenchLines.Side side =
          new BenchLines.Side(
              "fill",
              "lathe",
              lines.copies(1024),
              1024,
              0,
              "",
              i -> {
                used.add(i);
                bench.context.check(
                    JCudaDriver.cuMemsetD32Async(
                        new DevicePointer(target.address()), 7, 256, bench.context.stream()),
                    "cuMemsetD32Async");
              });
      lines.time("256", List.of(side, side));
      assertThat(used).hasSize(lines.copies(1024)).contains(0L, 1L);
      assertThat(bench.downIntegers(target)).containsOnly(7);
      lines.cannot("fill", "257", "lathe", "not a multiple of 4");
    }
    String[] printed = text.toString(UTF_8).lines().toArray(String[]::new);
    assertThat(printed).hasSize(3);
    JsonNode line = JSON.readTree(printed[0]);
    assertThat(line.get("bench").stringValue()).isEqualTo("fill");
    if (CudaDriver.kind().emulated()) {
      assertThat(line.has("samples_us")).isFalse(); // its times are no speed
    } else {
      assertThat(line.get("samples_us").valueStream().mapToDouble(JsonNode::asDouble))
          .hasSizeGreaterThan(1)
          .allSatisfy(sample -> assertThat(sample).isPositive());
      assertThat(line.get("bytes").intValue()).isEqualTo(1024);
      assertThat(line.get("paired").stringValue()).isEqualTo("fill 256 by lathe");
    }
    assertThat(JSON.readTree(printed[2]).get("error").stringValue()).startsWith("not a multiple");
  }

  @Test
  void emulatedGpuIsNeverTimedOnRealShapes() {
    assumeTrue(CudaDriver.kind().emulated(), "this runs on a GPU");
    try (CudaBench bench = new CudaBench()) {
      assertThatThrownBy(
              () -> new BenchLines(bench.context, new Items(System.out, Set.of()), false))
          .isInstanceOf(IllegalArgumentException.class);
    }
  }

  @Test
  void shapesAreThoseOfThePeers() {
    assertThat(BenchLines.shapes("linear", true).get(0).get("outputs").intValue()).isPositive();
    assertThatThrownBy(() -> BenchLines.shapes("cooking", true))
        .isInstanceOf(IllegalArgumentException.class);
  }
}
