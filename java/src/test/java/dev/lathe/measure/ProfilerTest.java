package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Ceilings;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.Flops.Work;
import dev.lathe.measure.Profile.Operation;
import dev.lathe.measure.Profile.Phase;
import dev.lathe.measure.TimingBackend.Event;
import dev.lathe.model.Batch;
import dev.lathe.model.Batch.Logits;
import dev.lathe.model.Decoder;
import dev.lathe.model.KvCache;
import dev.lathe.model.KvSequence;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** On a clock that goes on by 100 ns whenever it is read: no test waits or hopes. */
class ProfilerTest {
  private static final Profiler.Options OPTIONS = new Profiler.Options(5, 3, 2, 1, 0, 2, 9);

  private static LongSupplier ticking() {
    AtomicLong now = new AtomicLong();
    return () -> now.addAndGet(100);
  }

  private static Profile profile(Ceilings ceilings) {
    try (Decoder decoder = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      return Profiler.measure(decoder, OPTIONS, ceilings, Progress.NONE, ticking()).profile();
    }
  }

  @Test
  void workOfAProfileIsThatOfTheForwardPasses() {
    Profile profile = profile(new Ceilings(10, 100, "test"));
    try (Decoder decoder = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      Work prompt = new Work(5, 5);
      long prefill = Flops.forward(decoder.config(), decoder.weights(), List.of(prompt, prompt), 2);
      long decode = 0;
      for (int context = 6; context <= 8; context++) {
        Work step = new Work(1, context);
        decode += Flops.forward(decoder.config(), decoder.weights(), List.of(step, step), 2);
      }
      assertThat(profile.phase("prefill").flops()).isEqualTo(prefill);
      assertThat(profile.phase("decode").flops()).isEqualTo(decode);
      assertThat(profile.flops()).isEqualTo(prefill + decode);
      assertThat(profile.weightsBytes()).isEqualTo(decoder.weightBytes());
      assertThat(profile.params()).isEqualTo(Flops.params(decoder.weights()));
    }
    // Keys and values: 2 of 2 layers, 2 heads of 8, floats.
    assertThat(profile.kvCacheType()).isEqualTo("f32");
    assertThat(profile.kvBytesPerToken()).isEqualTo(2 * 2 * 2 * 8 * 4);
    // Ten tokens of x, h (6 each), qkv (64), attention (32), gate and up (20), gated (10), selected
    // (6).
    assertThat(profile.activationBytes()).isEqualTo(4 * 10 * (6 + 6 + 64 + 32 + 20 + 10 + 6));
  }

  @Test
  void everyOperationIsNamedByItsRoleAndCounted() {
    Profile profile = profile(new Ceilings(10, 100, "test"));
    assertThat(profile.ops("decode"))
        .extracting(Operation::name, Operation::calls)
        .containsExactlyInAnyOrder(
            org.assertj.core.groups.Tuple.tuple("embed", 3),
            org.assertj.core.groups.Tuple.tuple("rms_norm", 3 * 5),
            org.assertj.core.groups.Tuple.tuple("qkv", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("rotate_and_append", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("attention", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("attention_output", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("gate_up", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("gate", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("down", 3 * 2),
            org.assertj.core.groups.Tuple.tuple("gather_rows", 3),
            org.assertj.core.groups.Tuple.tuple("head", 3));
    assertThat(profile.ops("prefill")).hasSize(11);
    assertThat(profile.ops("decode"))
        .isSortedAccordingTo(Comparator.comparingDouble(Operation::timeMs).reversed());
    // The clock is read before and after each: 100 ns a call.
    Operation norms =
        profile.ops("decode").stream()
            .filter(o -> o.name().equals("rms_norm"))
            .findFirst()
            .orElseThrow();
    assertThat(norms.timeMs()).isEqualTo(15 * 100e-6, within(1e-12));
    assertThat(norms.gbs()).isEqualTo(norms.bytes() / 1500.0, within(1e-9));
    assertThat(norms.tflops()).isEqualTo(norms.flops() / 1500.0 / 1000, within(1e-12));
    assertThat(profile.ops("decode").stream().mapToDouble(Operation::percent).sum())
        .isEqualTo(100, within(1e-9));
    assertThat(profile.timerNanos()).isEqualTo(100);
  }

  @Test
  void anUndisturbedPhaseIsTimedWithoutItsOperations() {
    Phase decode = profile(new Ceilings(10, 100, "test")).phase("decode");
    assertThat(decode.timeMs()).isEqualTo(100e-6, within(1e-12)); // start and end: one tick
    assertThat(decode.steps()).isEqualTo(3);
    assertThat(decode.tokens()).isEqualTo(6);
  }

  @Test
  void theBottleneckFollowsTheCeilings() {
    // On this clock a phase takes 100 ns for some 10 kB (prefill 20 kB) and 10 to 40 kFLOP.
    Profile slowMemory = profile(new Ceilings(20, 1e9, "slow memory"));
    assertThat(slowMemory.bottleneck()).isEqualTo(Bound.MEMORY);
    assertThat(slowMemory.advice()).anySatisfy(a -> assertThat(a).contains("INT8 weights"));
    assertThat(slowMemory.advice())
        .anySatisfy(a ->
            assertThat(a).matches("decode: .*KV-cache in INT8.* at most 1\\.\\d+ times.*kv8.*"));
    Profile slowArithmetic = profile(new Ceilings(1e9, 10, "slow arithmetic"));
    assertThat(slowArithmetic.bottleneck()).isEqualTo(Bound.COMPUTE);
    assertThat(slowArithmetic.advice()).anySatisfy(a -> assertThat(a).contains("compute-bound"));
    assertThat(slowArithmetic.advice()).noneSatisfy(a -> assertThat(a).contains("W8A8"));
    assertThat(slowArithmetic.advice()).noneSatisfy(a -> assertThat(a).contains("kv8"));
    // Three quarters and more of the arithmetic are linear layers, which a tenfold roof speeds up.
    Profile int8 = profile(new Ceilings(1e9, 10, 20, OptionalDouble.of(100), "slow arithmetic"));
    assertThat(int8.advice())
        .anySatisfy(a -> assertThat(a).matches(".*W8A8.* 100 GOP/s; at most [2-9]\\.\\d+ times.*"));
    assertThat(profile(new Ceilings(1e9, 10, 20, OptionalDouble.of(10.1), "no gain")).advice())
        .noneSatisfy(a -> assertThat(a).contains("W8A8"));
    Profile fast = profile(new Ceilings(1e9, 1e9, "fast"));
    assertThat(fast.bottleneck()).isEqualTo(Bound.OVERHEAD);
    assertThat(fast.advice()).anySatisfy(a -> assertThat(a).contains("batching"));
  }

  @Test
  void boundsAtTheirEdges() {
    Ceilings ceilings = new Ceilings(10, 100, "test"); // ridge at 10 FLOP a byte
    assertThat(Bound.of(1000, 1000, 100, ceilings)).isEqualTo(Bound.MEMORY); // 100 ns least
    assertThat(Bound.of(1000, 1000, 200, ceilings)).isEqualTo(Bound.MEMORY); // a half
    assertThat(Bound.of(1000, 1000, 201, ceilings)).isEqualTo(Bound.OVERHEAD);
    assertThat(Bound.of(9999, 1000, 100, ceilings)).isEqualTo(Bound.MEMORY);
    assertThat(Bound.of(10000, 1000, 100, ceilings)).isEqualTo(Bound.COMPUTE);
    assertThat(Bound.of(0, 1000, 100, ceilings)).isEqualTo(Bound.MEMORY);
    assertThat(RunJson.line(Bound.MEMORY)).isEqualTo("\"memory-bound\"");
    assertThatThrownBy(() -> new Ceilings(0, 1, "")).isInstanceOf(IllegalArgumentException.class);
    assertThatThrownBy(() -> new Ceilings(Double.NaN, 1, ""))
        .isInstanceOf(IllegalArgumentException.class);
  }

  @Test
  void aRequestThatDoesNotFitTheContextIsRefused() {
    try (Decoder decoder = Decoder.load(new TinyModel(1, true), new ReferenceBackend())) {
      Profiler.Options long64 = new Profiler.Options(60, 5, 1, 0, 0, 1, 0);
      assertThatThrownBy(() ->
              Profiler.measure(decoder, long64, new Ceilings(1, 1, ""), Progress.NONE, ticking()))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("60 prompt tokens and 5 to decode")
          .hasMessageContaining("64");
      assertThat(Profiler.Options.forContext(2, 0).promptTokens()).isEqualTo(1);
    }
  }

  @Test
  void timingChangesNoResultAndRecordsBlocks() {
    float[] plain = new float[TinyModel.VOCABULARY];
    float[] timed = new float[TinyModel.VOCABULARY];
    List<Event> events = new ArrayList<>();
    try (Decoder decoder = Decoder.load(new TinyModel(1, false), new ReferenceBackend())) {
      logits(decoder, plain);
      try (TimingBackend timing =
              new TimingBackend(
                  decoder.backend(), OperationNames.of(decoder.weights()), ticking());
          Decoder view = decoder.over(timing)) {
        logits(view, timed);
        events.addAll(timing.takeEvents());
        assertThat(timing.takeEvents()).isEmpty();
      }
    }
    assertThat(timed).isEqualTo(plain);
    assertThat(events)
        .filteredOn(e -> e.name().equals("attention"))
        .extracting(Event::layer)
        .containsExactly(0, 1);
    assertThat(events).last().extracting(Event::name).isEqualTo("head");
    JsonNode trace = RunJson.mapper().readTree(Trace.json(events, "reference")).get("traceEvents");
    assertThat(trace.size()).isEqualTo(events.size() + 2); // names of process and track
    assertThat(trace.get(2).get("ts").asDouble()).isZero();
    assertThat(trace.get(2).get("dur").asDouble()).isEqualTo(0.1);
    assertThat(trace.get(3).get("ph").asString()).isEqualTo("X");
  }

  private static void logits(Decoder decoder, float[] into) {
    try (KvCache cache = decoder.newCache(4, 4);
        KvSequence sequence = cache.newSequence();
        Arena arena = Arena.ofConfined()) {
      Tensor logits = Tensor.of(arena.allocate(4L * into.length, 64), DType.F32, 1, into.length);
      Batch batch = new Batch().add(sequence, new int[] {3, 1, 4, 1, 5}, Logits.LAST);
      decoder.forward(batch, cache, logits);
      dev.lathe.tensor.Floats.readRow(logits, 0, into);
    }
  }
}
