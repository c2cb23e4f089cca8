package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.model.Decoder;
import dev.lathe.model.TinyModel;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.json.JsonMapper;

class EngineTest {
  private final TinyModel model = new TinyModel(3);
  private final ReferenceBackend backend = new ReferenceBackend();
  private final ByteTokenizer tokenizer = new ByteTokenizer();
  private Decoder decoder;

  @BeforeEach
  void open() {
    decoder = Decoder.load(model, backend);
  }

  @AfterEach
  void close() {
    decoder.close();
    backend.close();
    model.close();
  }

  @Test
  void cachedUncachedBatchedAndChunkedGiveTheSameTokens() {
    List<GenerationRequest> requests = new ArrayList<>();
    for (int i = 0; i < 5; i++) {
      requests.add(GenerationRequest.greedy(prompt(1 + 7 * i, i), 20));
    }
    List<int[]> alone = new ArrayList<>();
    for (GenerationRequest request : requests) {
      alone.add(run(List.of(request), 1, Cache.KV, 512).getFirst().tokens());
    }
    assertThat(alone).doesNotHaveDuplicates().allSatisfy(t -> assertThat(t).hasSize(20));
    assertThat(tokens(run(requests, 1, Cache.NONE, 512))).containsExactlyElementsOf(alone);
    assertThat(tokens(run(requests, 5, Cache.KV, 512))).containsExactlyElementsOf(alone);
    assertThat(tokens(run(requests, 3, Cache.KV, 512))).containsExactlyElementsOf(alone);
    assertThat(tokens(run(requests, 5, Cache.NONE, 512))).containsExactlyElementsOf(alone);
    assertThat(tokens(run(requests, 5, Cache.KV, 6))).containsExactlyElementsOf(alone);
  }

  @Test
  void aGreedyTokenIsTheMostLikelyOfTheUncachedModel() {
    int[] prompt = prompt(9, 1);
    int[] generated =
        run(List.of(GenerationRequest.greedy(prompt, 8)), 1, Cache.KV, 512).getFirst().tokens();
    int[] whole =
        java.util.stream.IntStream.concat(
                java.util.Arrays.stream(prompt), java.util.Arrays.stream(generated))
            .toArray();
    dev.lathe.model.Scoring.score(
        decoder,
        List.of(whole),
        (sequence, first, logits) -> {
          for (int i = 0; i < generated.length; i++) {
            Tensor row = logits.rows(prompt.length - 1 + i, prompt.length + i);
            float[] values = row.memory().toArray(ValueLayout.JAVA_FLOAT);
            assertThat(new Sampler(Sampling.GREEDY).draw(values, prompt, prompt.length))
                .isEqualTo(generated[i]);
          }
        });
  }

  @Test
  void logprobsComeWithEveryTokenWhereTheyAreAskedFor() {
    int[] prompt = prompt(7, 4);
    GenerationRequest plain = GenerationRequest.greedy(prompt, 6);
    GenerationRequest asking =
        new GenerationRequest(prompt, 6, Sampling.GREEDY, List.of(), true, 2);
    List<Generation> both = run(List.of(plain, asking), 2, Cache.KV, 512);
    assertThat(both.get(0).logprobs()).isEmpty();
    assertThat(both.get(1).tokens()).isEqualTo(both.get(0).tokens());
    assertThat(both.get(1).logprobs()).hasSize(6);
    for (int i = 0; i < 6; i++) {
      TokenLogprobs logprobs = both.get(1).logprobs().get(i);
      assertThat(logprobs.top()).hasSize(2);
      assertThat(logprobs.top().getFirst().token()).isEqualTo(both.get(1).tokens()[i]);
      assertThat(logprobs.logprob()).isEqualTo(logprobs.top().getFirst().logprob()).isNegative();
    }
  }

  @Test
  void aRepetitionPenaltyReachesThePromptsTokens() {
    int[] prompt = prompt(6, 9);
    int[] free =
        run(List.of(GenerationRequest.greedy(prompt, 40)), 1, Cache.KV, 512).getFirst().tokens();
    GenerationRequest penalized =
        new GenerationRequest(prompt, 40, new Sampling(0, 0, 1, 0, 1e6, 0), List.of(), true);
    int[] varied = run(List.of(penalized), 1, Cache.KV, 512).getFirst().tokens();
    assertThat(java.util.Arrays.stream(free).distinct().count()).isLessThan(40);
    assertThat(java.util.Arrays.stream(varied).distinct().count()).isEqualTo(40);
    assertThat(varied).doesNotContain(prompt);
  }

  @Test
  void sampledTextDependsOnTheSeedAndNotOnTheCompany() {
    GenerationRequest request =
        new GenerationRequest(prompt(5, 1), 30, new Sampling(1.2, 40, 0.95, 11), List.of(), true);
    GenerationRequest other =
        new GenerationRequest(prompt(5, 1), 30, new Sampling(1.2, 40, 0.95, 12), List.of(), true);
    int[] alone = run(List.of(request), 1, Cache.KV, 512).getFirst().tokens();
    List<Generation> together = run(List.of(other, request), 2, Cache.KV, 512);
    assertThat(together.get(1).tokens()).isEqualTo(alone);
    assertThat(together.get(0).tokens()).isNotEqualTo(alone);
  }

  @Test
  void endsAtTheEndOfSequenceTokenUnlessToldNotTo() {
    int[] prompt = prompt(6, 2);
    int[] free =
        run(List.of(GenerationRequest.greedy(prompt, 12)), 1, Cache.KV, 512).getFirst().tokens();
    int end = free[4];
    int first = 0;
    while (free[first] != end) {
      first++;
    }
    decoder.close();
    model.config().put("eos_token_id", end);
    decoder = Decoder.load(model, backend);
    GenerationRequest stopping =
        new GenerationRequest(prompt, 12, Sampling.GREEDY, List.of(), false);
    Generation ended = run(List.of(stopping), 1, Cache.KV, 512).getFirst();
    assertThat(ended.finish()).isEqualTo(FinishReason.END_OF_SEQUENCE);
    assertThat(ended.tokens()).isEqualTo(java.util.Arrays.copyOf(free, first + 1));
    assertThat(
            run(List.of(GenerationRequest.greedy(prompt, 12)), 1, Cache.KV, 512)
                .getFirst()
                .tokens())
        .isEqualTo(free);
  }

  @Test
  void fillsTheContextToItsLastTokenAndSaysSo() {
    Generation full =
        run(List.of(GenerationRequest.greedy(prompt(90, 1), 1000)), 1, Cache.KV, 512).getFirst();
    assertThat(full.finish()).isEqualTo(FinishReason.CONTEXT_FULL);
    assertThat(full.tokens()).hasSize(6);
  }

  @Test
  void refusesAPromptThatFillsTheContext() {
    try (Engine engine = new Engine(decoder, tokenizer, 1, Cache.KV)) {
      assertThatThrownBy(() -> engine.submit(GenerationRequest.greedy(prompt(96, 1), 1), t -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("96 tokens")
          .hasMessageContaining("context is 96");
    }
    assertThatThrownBy(() -> GenerationRequest.greedy(new int[0], 1))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("prompt is empty");
  }

  @Test
  void requestsWaitWhileTheCacheIsFull() {
    EngineOptions small = new EngineOptions(4, Cache.KV, 32, 512, 4, System::nanoTime);
    List<GenerationRequest> requests =
        List.of(
            GenerationRequest.greedy(prompt(10, 1), 10),
            GenerationRequest.greedy(prompt(10, 2), 10),
            GenerationRequest.greedy(prompt(3, 3), 5));
    List<int[]> expected = tokens(run(requests, 3, Cache.KV, 512));
    try (Engine engine = new Engine(decoder, tokenizer, small)) {
      assertThat(tokens(engine.generate(requests))).containsExactlyElementsOf(expected);
      assertThatThrownBy(() -> engine.submit(GenerationRequest.greedy(prompt(30, 1), 10), t -> {}))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("need 10 pages of the KV-cache, which has 8");
    }
  }

  @Test
  void streamsItsTextAndStopsBeforeAStopText() {
    Generation free =
        run(List.of(GenerationRequest.greedy(prompt(6, 5), 40)), 1, Cache.KV, 512).getFirst();
    assertThat(free.text()).hasSizeGreaterThan(6);
    String stop = free.text().substring(3, 5);
    int at = free.text().indexOf(stop);
    List<String> pieces = new ArrayList<>();
    try (Engine engine = new Engine(decoder, tokenizer, 1, Cache.KV)) {
      Handle handle =
          engine.submit(
              new GenerationRequest(prompt(6, 5), 40, Sampling.GREEDY, List.of(stop), true),
              pieces::add);
      engine.run();
      Generation stopped = handle.result().orElseThrow();
      assertThat(stopped.finish()).isEqualTo(FinishReason.STOP);
      assertThat(stopped.text()).isEqualTo(free.text().substring(0, at));
      assertThat(String.join("", pieces)).isEqualTo(stopped.text());
    }
  }

  @Test
  void everyTokenHasItsTime() {
    AtomicLong time = new AtomicLong(100);
    EngineOptions options = new EngineOptions(1, Cache.KV, 64, 512, 16, () -> time.getAndAdd(10));
    try (Engine engine = new Engine(decoder, tokenizer, options)) {
      Generation generation =
          engine.generate(List.of(GenerationRequest.greedy(prompt(4, 1), 3))).getFirst();
      assertThat(generation.submittedNanos()).isEqualTo(100);
      assertThat(generation.tokenNanos()).containsExactly(110, 120, 130);
      assertThat(generation.promptTokens()).isEqualTo(4);
    }
  }

  @Test
  void weightsThatAreNotNumbersAreNotDecodedIntoText() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment norm = arena.allocate(4L * TinyModel.HIDDEN);
      for (int i = 0; i < TinyModel.HIDDEN; i++) {
        norm.setAtIndex(ValueLayout.JAVA_FLOAT, i, i == 3 ? Float.NaN : 1);
      }
      model.replace("model.norm.weight", Tensor.of(norm, DType.F32, TinyModel.HIDDEN));
      try (Decoder broken = Decoder.load(model, backend);
          Engine engine = new Engine(broken, tokenizer, 1, Cache.KV)) {
        assertThatThrownBy(
                () -> engine.generate(List.of(GenerationRequest.greedy(prompt(4, 1), 3))))
            .isInstanceOf(LatheException.class)
            .hasMessageContaining("not finite");
      }
    }
  }

  /** What a request may grow to decides, from its first token on, and for each request alone. */
  @Test
  void longRopeHasOtherAnglesForLongSequences() {
    GenerationRequest fits = GenerationRequest.greedy(prompt(20, 1), 20);
    GenerationRequest longer = GenerationRequest.greedy(prompt(20, 1), 21);
    List<int[]> together =
        withRope(
            """
            {"rope_type": "longrope", "short_factor": [1, 2, 3, 4, 5],
             "long_factor": [9, 7, 5, 3, 1], "original_max_position_embeddings": 40,
             "attention_factor": 1}\
            """,
            List.of(fits, longer, fits));
    int[] shorts = withFactors("[1, 2, 3, 4, 5]", fits);
    int[] longs = withFactors("[9, 7, 5, 3, 1]", longer);
    assertThat(Arrays.copyOf(longs, shorts.length)).isNotEqualTo(shorts);
    assertThat(together).containsExactly(shorts, longs, shorts);
  }

  private int[] withFactors(String factors, GenerationRequest request) {
    String rope = "{\"rope_type\": \"factors\", \"factors\": %s}".formatted(factors);
    return withRope(rope, List.of(request)).getFirst();
  }

  private List<int[]> withRope(String rope, List<GenerationRequest> requests) {
    decoder.close();
    model.config().set("rope_scaling", JsonMapper.shared().readTree(rope));
    decoder = Decoder.load(model, backend);
    return tokens(run(requests, 3, Cache.KV, 512));
  }

  private List<Generation> run(
      List<GenerationRequest> requests, int batch, Cache cache, int tokensPerStep) {
    EngineOptions options =
        new EngineOptions(batch, cache, batch * 96, tokensPerStep, 16, System::nanoTime);
    try (Engine engine = new Engine(decoder, tokenizer, options)) {
      return engine.generate(requests);
    }
  }

  private static List<int[]> tokens(List<Generation> generations) {
    return generations.stream().map(Generation::tokens).toList();
  }

  private static int[] prompt(int length, long seed) {
    return new SplittableRandom(seed).ints(length, 0, 256).toArray();
  }
}
