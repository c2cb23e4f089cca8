package dev.lathe.measure;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backend;
import dev.lathe.backend.cpu.CpuBackend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.model.Decoder;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** A real trained model has the perplexity that its float64 reference has, story by story. */
class Stories260kQualityTest {

  @Test
  void perplexityOnTheReferenceBackendIsTheExpectedOne() throws IOException {
    check(new ReferenceBackend());
  }

  @Test
  void perplexityOnTheCpuIsTheExpectedOne() throws IOException {
    Optional<String> reason = CpuBackend.whyUnusable();
    Assumptions.assumeTrue(reason.isEmpty(), () -> "skipped: " + reason.orElse(""));
    try (Backend cpu = CpuBackend.open(2)) {
      check(cpu);
    }
  }

  private static void check(Backend backend) throws IOException {
    Path text = SharedFiles.require("datasets/tinystories.txt");
    Path folder = SharedFiles.require("models/stories260k");
    JsonNode expected =
        RunJson.mapper()
            .readTree(Files.readString(SharedFiles.require("models/stories260k.expected.json")));
    try (Checkpoint checkpoint = Checkpoints.open(folder);
        Tokenizer tokenizer = Tokenizers.load(checkpoint);
        Decoder decoder = Decoder.load(checkpoint, backend)) {
      EvalText stories =
          EvalText.read(
              text,
              tokenizer,
              decoder.config().contextLength(),
              new EvalText.Options(Optional.of("<|endoftext|>"), OptionalInt.of(40)));
      Quality quality = Quality.of(decoder, stories, Progress.NONE);

      assertThat(quality.tokens()).isEqualTo(expected.get("tokens").asLong());
      assertThat(quality.documents()).isEqualTo(40);
      JsonNode each = expected.get("stories");
      for (int i = 0; i < 40; i++) {
        // Expected counts include the first token, which is given and not predicted.
        assertThat(quality.perDocument().get(i).tokens() + 1)
            .as("tokens of story %s", i)
            .isEqualTo(each.get(i).get("tokens").asLong());
        // Activations are stored as floats: 2^-24 relative at each of some 50 stores a token makes
        // 1e-5 of a logit near 20, and a story has up to 511 tokens whose errors may all agree.
        assertThat(quality.perDocument().get(i).nll())
            .as("NLL of story %s", i)
            .isEqualTo(each.get(i).get("nll").asDouble(), within(5e-3));
      }
      double perplexity = expected.get("perplexity").asDouble();
      assertThat(quality.perplexity()).isEqualTo(perplexity, within(1e-4 * perplexity));
      assertThat(quality.meanNll()).isEqualTo(expected.get("mean_nll").asDouble(), within(1e-5));
      assertThat(quality.nllStandardError().getAsDouble()).isBetween(0.005, 0.1);
      Statistics.Interval interval = quality.perplexityCi95().orElseThrow();
      assertThat(perplexity).isBetween(interval.low(), interval.high());
    }
  }
}
