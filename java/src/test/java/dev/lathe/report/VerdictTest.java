package dev.lathe.report;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.measure.RunJson;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.node.ObjectNode;

class VerdictTest {
  private static Verdict of(Stage... stages) {
    return Verdict.of(Fixture.results(List.of(stages), "models/tiny", true));
  }

  @Test
  void aSmallerCacheIsAGainBesideTheOthers() {
    Stage kv8 = Fixture.withCache(Fixture.QUANTIZED, OptionalLong.of(1_440));
    Verdict verdict = of(Fixture.BASELINE, Fixture.QUANTIZED, kv8);
    assertThat(verdict.headline())
        .isEqualTo(
            "3.83 times smaller, 1.11 times faster and with a KV-cache 1.78 times smaller, for 0.083 % more perplexity");
    assertThat(verdict.gained()).contains("KV-cache, a token: 2.56 kB → 1.44 kB (1.78×)");
  }

  @Test
  void itIsAGainAlone() {
    Stage kv8 = Fixture.withCache(Fixture.BASELINE, OptionalLong.of(1_440));
    assertThat(of(Fixture.BASELINE, technique(kv8)).headline())
        .startsWith("With a KV-cache 1.78 times smaller, ");
  }

  @Test
  void theSameCacheIsNone() {
    Verdict verdict = of(Fixture.BASELINE, Fixture.QUANTIZED);
    assertThat(verdict.headline()).startsWith("3.83 times smaller and 1.11 times faster, for ");
    assertThat(verdict.gained()).noneMatch(gain -> gain.contains("KV-cache, a token"));
  }

  /** Results of versions that did not write it. */
  @Test
  void whatIsNotKnownIsLeftOut() {
    ObjectNode json = RunJson.mapper().valueToTree(Fixture.results());
    json.get("stages").forEach(stage -> ((ObjectNode) stage).remove("kv_bytes_per_token"));
    OptimizeResults read = RunJson.read(json.toString(), OptimizeResults.class, "results.json");
    assertThat(read.stages()).allMatch(stage -> stage.kvBytesPerToken().isEmpty());
    assertThat(Verdict.of(read).headline()).isEqualTo(Verdict.of(Fixture.results()).headline());
    assertThat(MarkdownReport.render(read)).contains("| KV-cache, a token | not measured");
  }

  private static Stage technique(Stage s) {
    ObjectNode json = RunJson.mapper().valueToTree(s);
    json.set("kind", RunJson.mapper().valueToTree(Stage.Kind.TECHNIQUE));
    return RunJson.read(json.toString(), Stage.class, "stage");
  }
}
