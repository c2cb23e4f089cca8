package dev.lathe.backend.cuda;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.lathe.gpucheck.Items;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** All benchmarks run to their end, and what they say of an emulated GPU is no speed. */
@Tag("cuda")
class BenchmarksTest {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  private Benchmarks benchmarks(boolean tiny) {
    assumeTrue(CudaDriver.kind().emulated(), "on a real GPU scripts/gpu-check runs it whole");
    return new Benchmarks(new Items(new PrintStream(out, true, UTF_8), Set.of()), tiny);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void runAndCallNothingASpeed(boolean asked) {
    benchmarks(true).run(asked);
    List<JsonNode> lines =
        out.toString(UTF_8).lines().map(line -> JsonMapper.shared().readTree(line)).toList();
    assertThat(lines)
        .noneMatch(line -> line.has("samples_us") || line.has("bytes"))
        .noneMatch(line -> line.has("failed") || line.has("error"));
    List<String> rows =
        lines.stream()
            .filter(line -> line.path("remark").asString("").contains("no speed"))
            .map(line -> line.get("bench").stringValue() + " by " + line.get("side").stringValue())
            .toList();
    if (asked) {
      assertThat(rows)
          .contains(
              "read_f32 by lathe",
              "linear_w8a16 by lathe",
              "linear_bf16 by cublas",
              "linear_w8a8 by lathe",
              "linear_w8a8_layer by lathe",
              "linear_w8a8 by cublas",
              "attention_decode_bf16 by lathe",
              "attention_decode_bf16 by lathe, pages of 64",
              "attention_decode_int8 by lathe");
    } else {
      assertThat(rows)
          .contains(
              "linear_bf16 by lathe",
              "linear_f32 by lathe",
              "linear_bitmap_bf16 by lathe",
              "attention_prefill_bf16 by lathe",
              "attention_prefill_int8 by lathe",
              "rms_norm_f32 by lathe",
              "embedding_bitmap_bf16 by lathe");
    }
  }

  @Test
  void wholeShapesAreRefusedOnTheEmulatedGpu() {
    assertThatThrownBy(() -> benchmarks(false))
        .isInstanceOf(IllegalArgumentException.class)
        .hasMessageContaining("--tiny");
    assertThat(out.toString(UTF_8)).isEmpty();
  }
}
