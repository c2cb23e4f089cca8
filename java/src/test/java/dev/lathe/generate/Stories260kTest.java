package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backend;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.model.Decoder;
import dev.lathe.model.Scoring;
import dev.lathe.tensor.Floats;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Named;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A real trained model gives the tokens and logits of its float64 reference, on every backend. */
class Stories260kTest {
  /** The reference backend is slow, and the naive mode computes each prefix again. */
  private static final int NAIVE_TOKENS_ON_REFERENCE = 40;

  static List<Named<Supplier<Backend>>> backends() {
    List<Named<Supplier<Backend>>> backends = new ArrayList<>();
    backends.add(Named.of("reference", ReferenceBackend::new));
    assertThat(CpuBackend.whyUnusable()).isEmpty();
    backends.add(Named.of("cpu, one thread", () -> CpuBackend.open(1)));
    backends.add(Named.of("cpu, two threads", () -> CpuBackend.open(2)));
    return backends;
  }

  @ParameterizedTest
  @MethodSource("backends")
  void greedyTokensAndLogitsAreThoseOfTheReference(Supplier<Backend> open) throws IOException {
    JsonNode expected =
        JsonMapper.builder()
            .build()
            .readTree(SharedFiles.require("models/stories260k.expected.json").toFile());
    int[] tokens = ints(expected.get("greedy_200_from_bos"));
    try (Backend backend = open.get();
        Checkpoint checkpoint = Checkpoints.open(SharedFiles.require("models/stories260k"));
        Decoder decoder = Decoder.load(checkpoint, backend)) {
      int[] generated = Arrays.copyOfRange(tokens, 1, tokens.length);
      GenerationRequest request = GenerationRequest.greedy(new int[] {tokens[0]}, generated.length);
      try (Engine engine = new Engine(decoder, new ByteTokenizer(), 8, Cache.KV)) {
        assertThat(engine.generate(List.of(request)).getFirst().tokens()).isEqualTo(generated);
        assertThat(engine.generate(Collections.nCopies(8, request)))
            .allSatisfy(g -> assertThat(g.tokens()).isEqualTo(generated));
      }
      int naive =
          backend instanceof ReferenceBackend ? NAIVE_TOKENS_ON_REFERENCE : generated.length;
      try (Engine engine = new Engine(decoder, new ByteTokenizer(), 1, Cache.NONE)) {
        GenerationRequest shorter = GenerationRequest.greedy(request.prompt(), naive);
        assertThat(engine.generate(List.of(shorter)).getFirst().tokens())
            .isEqualTo(Arrays.copyOf(generated, naive));
      }
      // The logits are those that follow the first of the encoded texts.
      int[] text = ints(expected.get("encode").get("Lily and Tom went to the park."));
      int[] story = IntStream.concat(IntStream.of(tokens[0]), IntStream.of(text)).toArray();
      assertTopLogits(decoder, story, expected.get("last_logits_top5"));
    }
  }

  private static int[] ints(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false).mapToInt(JsonNode::intValue).toArray();
  }

  private static void assertTopLogits(Decoder decoder, int[] tokens, JsonNode top) {
    Scoring.score(
        decoder,
        List.of(tokens),
        (sequence, first, logits) -> {
          float[] last = new float[(int) logits.size(1)];
          Floats.readRow(logits, logits.size(0) - 1, last);
          for (JsonNode entry : top) {
            assertThat((double) last[entry.get(0).intValue()])
                .isCloseTo(entry.get(1).doubleValue(), within(1e-4));
          }
        });
  }
}
