package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.generate.ByteTokenizer;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.generate.GenerationRequest;
import dev.lathe.measure.LatencyBench.Options;
import dev.lathe.measure.LatencyBench.Result;
import dev.lathe.measure.LatencyBench.Speedup;
import dev.lathe.measure.LatencyBench.Variant;
import dev.lathe.model.Decoder;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;

/** On a clock that goes on by a millisecond whenever it is read. */
class LatencyBenchTest {
  private static final long MS = 1_000_000;

  private static LongSupplier ticking() {
    AtomicLong now = new AtomicLong();
    return () -> now.addAndGet(MS);
  }

  private static final List<GenerationRequest> REQUESTS =
      List.of(
          GenerationRequest.greedy(new int[] {1, 2, 3}, 4),
          GenerationRequest.greedy(new int[] {1, 5}, 4));

  @Test
  void variantsTakeTurnsAndWarmUpsAreNotRecorded() {
    try (Decoder decoder = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      List<Variant> variants =
          List.of(
              new Variant("cached", decoder, new ByteTokenizer(), Cache.KV, 1),
              new Variant("batch 2", decoder, new ByteTokenizer(), Cache.KV, 2));
      List<String> order = new ArrayList<>();
      List<Long> progress = new ArrayList<>();
      List<List<Repetition>> results =
          LatencyBench.run(
              variants,
              REQUESTS,
              new Options(2, 3),
              r -> order.add(r.variant() + " " + r.index()),
              (done, total) -> progress.add(done * 100 + total),
              ticking());
      assertThat(order)
          .containsExactly(
              "cached 0", "batch 2 0", "cached 1", "batch 2 1", "cached 2", "batch 2 2");
      assertThat(progress).hasSize(10).startsWith(110L).endsWith(1010L);
      assertThat(results).hasSize(2);

      // The engine reads its clock once a request and once a step. Alone: sent at 0, tokens at 1,
      // 2,
      // 3, 4 ms. Together: sent at 0 and 1, tokens of both at 2, 3, 4, 5.
      Result alone = Result.of(results.get(0));
      assertThat(alone.samples()).isEqualTo(6);
      assertThat(alone.failures()).isZero();
      assertThat(alone.ttftMs().orElseThrow().mean()).isEqualTo(1);
      assertThat(alone.tpotMs().orElseThrow().mean()).isEqualTo(1);
      assertThat(alone.itlMs().orElseThrow().n()).isEqualTo(6 * 3);
      assertThat(alone.endToEndMs().orElseThrow().p50()).isEqualTo(4);
      // 8 tokens from 0 to 9 ms: the second is sent 1 ms after the first is done.
      assertThat(alone.tokensPerSecond().orElseThrow().p50()).isEqualTo(8 / 9e-3, within(1e-6));
      assertThat(alone.ttftMs().orElseThrow().p90()).isEmpty();
      Result together = Result.of(results.get(1));
      assertThat(together.ttftMs().orElseThrow().mean()).isEqualTo(1.5);
      assertThat(together.tokensPerSecond().orElseThrow().p50()).isEqualTo(8 / 5e-3, within(1e-6));
      Speedup speedup = Speedup.of(results.get(1), results.get(0));
      assertThat(speedup.pairs()).isEqualTo(3);
      assertThat(speedup.median()).isEqualTo(9 / 5.0, within(1e-9));
      assertThat(speedup.ci95()).isEmpty();
    }
  }

  private static Repetition repetition(String variant, int index, long millis) {
    return new Repetition(
        variant, index, List.of(new Sample(0, new long[] {MS, millis * MS}, 3, Outcome.COMPLETED)));
  }

  @Test
  void aSpeedupIsTheMedianOfTheRatiosByPair() {
    // The machine slows down by ten on the third pair: both suffer, the ratio does not.
    long[] fast = {10, 10, 100, 10, 12, 10};
    long[] slow = {20, 20, 200, 22, 24, 30};
    List<Repetition> a = new ArrayList<>();
    List<Repetition> b = new ArrayList<>();
    for (int i = 0; i < fast.length; i++) {
      a.add(repetition("fast", i, fast[i]));
      b.add(repetition("slow", i, slow[i]));
    }
    Speedup speedup = Speedup.of(a, b);
    assertThat(speedup.median()).isEqualTo(2, within(1e-12));
    assertThat(speedup.min()).isEqualTo(2, within(1e-12));
    assertThat(speedup.max()).isEqualTo(3, within(1e-12));
    assertThat(speedup.ci95().orElseThrow().high()).isEqualTo(3, within(1e-12));
    assertThatThrownBy(() -> Speedup.of(a, b.subList(1, 6)))
        .isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new Options(1, 0)).isInstanceOf(InvalidInputException.class);
  }

  @Test
  void aRepetitionSurvivesTheRunFolder() {
    Repetition repetition = repetition("batch 8", 4, 10);
    assertThat(Repetition.isRepetition(repetition.toJson())).isTrue();
    assertThat(Repetition.fromJson(repetition.toJson(), "here")).isEqualTo(repetition);
    assertThatThrownBy(
            () -> Repetition.fromJson(repetition.toJson().put("extra", 1), "samples.jsonl line 3"))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("samples.jsonl line 3")
        .hasMessageContaining("extra");
  }
}
