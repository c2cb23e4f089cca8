package dev.lathe.generate;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.generate.EngineOptions.Cache;
import dev.lathe.model.Decoder;
import dev.lathe.model.Scoring;
import dev.lathe.tensor.Floats;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A real trained model gives the tokens and logits of its float64 reference. */
class Stories260kTest {

  @Test
  void greedyTokensAndLogitsAreThoseOfTheReference() throws IOException {
    JsonNode expected =
        JsonMapper.builder()
            .build()
            .readTree(SharedFiles.require("models/stories260k.expected.json").toFile());
    int[] tokens =
        StreamSupport.stream(expected.get("greedy_200_from_bos").spliterator(), false)
            .mapToInt(JsonNode::intValue)
            .toArray();
    try (Backend backend = new ReferenceBackend();
        Checkpoint checkpoint = Checkpoints.open(SharedFiles.require("models/stories260k"));
        Decoder decoder = Decoder.load(checkpoint, backend)) {
      int[] prompt = {tokens[0]};
      GenerationRequest request = GenerationRequest.greedy(prompt, tokens.length - 1);
      int[] generated = Arrays.copyOfRange(tokens, 1, tokens.length);
      try (Engine engine = new Engine(decoder, new ByteTokenizer(), 8, Cache.KV)) {
        assertThat(engine.generate(List.of(request)).getFirst().tokens()).isEqualTo(generated);
        assertThat(engine.generate(Collections.nCopies(8, request)))
            .allSatisfy(g -> assertThat(g.tokens()).isEqualTo(generated));
      }
      try (Engine engine = new Engine(decoder, new ByteTokenizer(), 1, Cache.NONE)) {
        assertThat(engine.generate(List.of(request)).getFirst().tokens()).isEqualTo(generated);
      }
      // The logits are those that follow the first of the encoded texts.
      JsonNode text = expected.get("encode").get("Lily and Tom went to the park.");
      int[] story =
          IntStream.concat(
                  IntStream.of(tokens[0]),
                  StreamSupport.stream(text.spliterator(), false).mapToInt(JsonNode::intValue))
              .toArray();
      assertTopLogits(decoder, story, expected.get("last_logits_top5"));
    }
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
