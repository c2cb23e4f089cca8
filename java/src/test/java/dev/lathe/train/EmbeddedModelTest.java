package dev.lathe.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.backend.Backends;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.checkpoint.TensorInfo;
import dev.lathe.files.CalibrationData;
import dev.lathe.measure.EvalText;
import dev.lathe.measure.Progress;
import dev.lathe.measure.Quality;
import dev.lathe.model.Decoder;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.tokenize.Tokenizers;
import dev.lathe.train.corpus.Corpus;
import dev.lathe.train.corpus.Split;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The model in calibration-data is the one that its README describes, and scores what that says.
 */
class EmbeddedModelTest {
  private static final Path FOLDER = CalibrationData.embeddedModel();
  private static final ObjectNode SCORES = StrictJson.readObject(FOLDER.resolve("scores.json"));
  private static final long MOST_BYTES = 12L << 20;

  /** Enough to see that both count the same tokens; all of the text is another test's. */
  private static final int COMPARED_DOCUMENTS = 100;

  @Test
  void theCommittedWeightsAreTheOnesThatAreDescribed() throws Exception {
    try (Checkpoint checkpoint = Checkpoints.open(FOLDER)) {
      assertThat(checkpoint.hash()).isEqualTo(SCORES.get("hash").stringValue());
      assertThat(checkpoint.fileBytes()).isEqualTo(SCORES.get("bytes").longValue());
      assertThat(checkpoint.tensors().values().stream().mapToLong(TensorInfo::elements).sum())
          .isEqualTo(SCORES.get("parameters").longValue())
          .isBetween(800_000L, 1_200_000L);
      assertThat(checkpoint.config())
          .isEqualTo(EmbeddedTraining.config(EmbeddedTraining.Size.EMBEDDED));
    }
    String readme = Files.readString(FOLDER.resolveSibling("README.md"));
    JsonNode heldOut = SCORES.get("held_out");
    assertThat(readme)
        .contains(SCORES.get("hash").stringValue())
        .contains("%,d".formatted(SCORES.get("parameters").longValue()))
        .contains("perplexity %.4f".formatted(heldOut.get("perplexity").doubleValue()))
        .contains("%,d tokens".formatted(heldOut.get("tokens").longValue()));
  }

  @Test
  void allOfItFitsTheBudget() throws Exception {
    long bytes = 0;
    try (Stream<Path> files = Files.walk(FOLDER.getParent())) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        bytes += Files.size(file);
      }
    }
    assertThat(bytes).isLessThan(MOST_BYTES);
  }

  @Test
  void textVocabularyAndLineageMadeAgainAreTheCommittedOnes() throws Exception {
    Corpus training = Corpus.embedded(Split.TRAINING);
    BytePairs pairs = EmbeddedTraining.vocabulary(training.documents());
    assertThat(EmbeddedTraining.pretty(pairs.tokenizerJson()))
        .isEqualTo(Files.readAllBytes(FOLDER.resolve("tokenizer.json")));
    assertThat(EmbeddedTraining.pretty(pairs.tokenizerConfigJson()))
        .isEqualTo(Files.readAllBytes(FOLDER.resolve("tokenizer_config.json")));
    try (Checkpoint checkpoint = Checkpoints.open(FOLDER)) {
      // Only the version of Lathe that trained it may be another.
      assertThat(checkpoint.lineage().steps())
          .singleElement()
          .usingRecursiveComparison()
          .ignoringFields("tool")
          .isEqualTo(EmbeddedData.root(training.text()).steps().getFirst());
      assertThat(training.text())
          .as("what it is tuned on")
          .isEqualTo(
              new Corpus(EmbeddedData.training(checkpoint).orElseThrow().documents(), Set.of())
                  .text());
    }
  }

  @Test
  void itScoresWhatIsStatedAndTrainingSeesTheSameOnTheSameTokens() {
    try (Checkpoint checkpoint = Checkpoints.open(FOLDER);
        Tokenizer tokenizer = Tokenizers.load(checkpoint);
        OpenedBackend opened = Backends.open("cpu", 2, "auto");
        Decoder decoder = Decoder.load(checkpoint, opened.backend())) {
      EmbeddedData.HeldOut heldOut = EmbeddedData.heldOut(checkpoint);
      EvalText text =
          EvalText.read(
              heldOut.text(),
              tokenizer,
              decoder.config().contextLength(),
              new EvalText.Options(Optional.of(heldOut.separator()), OptionalInt.empty()));
      Quality quality = Quality.of(decoder, text, Progress.NONE);

      JsonNode stated = SCORES.get("held_out");
      assertThat(quality.tokens()).isEqualTo(stated.get("tokens").longValue());
      assertThat(quality.documents()).isEqualTo(stated.get("documents").intValue());
      assertThat(text.cut()).isEqualTo(stated.get("cut_documents").intValue());
      // 0.01 %: a logit near 10 is summed in F32 (2^-24 relative) in an order that differs between
      // processors, some 50 times a token; over the tokens the errors average out.
      double perplexity = stated.get("perplexity").doubleValue();
      assertThat(quality.perplexity()).isCloseTo(perplexity, within(1e-4 * perplexity));

      DecoderGradient training =
          new DecoderGradient(Parameters.load(checkpoint), 1, decoder.config().contextLength());
      List<Quality.Document> documents = quality.perDocument().subList(0, COMPARED_DOCUMENTS);
      for (int d = 0; d < documents.size(); d++) {
        // Two implementations in F32 of the same sums: 1e-5 nats a token.
        assertThat(loss(training, text.sequences().get(d), decoder.config().contextLength()))
            .as("nats of document %s", d)
            .isCloseTo(documents.get(d).nll(), within(1e-5 * documents.get(d).tokens()));
      }
    }
  }

  /** What training makes of one sequence; behind its end nothing is asked for. */
  private static double loss(DecoderGradient training, int[] sequence, int length) {
    int[] inputs = Arrays.copyOf(sequence, length);
    int[] targets = new int[length];
    Arrays.fill(targets, -1);
    System.arraycopy(sequence, 1, targets, 0, sequence.length - 1);
    return training.loss(inputs, targets);
  }

  @Test
  void theLossThatTrainingStoppedAtIsThatOfTheCommittedWeights() throws Exception {
    List<String> curve = Files.readAllLines(FOLDER.resolve("curve.csv"));
    double best =
        curve.stream()
            .skip(1)
            .mapToDouble(line -> Double.parseDouble(line.split(",", -1)[2]))
            .min()
            .orElseThrow();
    assertThat(SCORES.get("training_held_out_loss").doubleValue()).isEqualTo(best);
    try (Checkpoint checkpoint = Checkpoints.open(FOLDER);
        Tokenizer tokenizer = Tokenizers.load(checkpoint)) {
      List<String> documents = Corpus.embedded(Split.HELD_OUT).documents();
      Parameters parameters = Parameters.load(checkpoint);
      TrainingPlan plan = EmbeddedTraining.plan(1);
      AdamW unused = new AdamW(parameters, 0, Masks.NONE);
      TrainingText heldOut = EmbeddedTraining.tokens(documents, parameters.config(), tokenizer);
      try (Trainer trainer = new Trainer(parameters, plan, unused, heldOut, 2)) {
        // The curve has five digits; other processors sum in another order.
        assertThat(trainer.evaluate(heldOut)).isCloseTo(best, within(2e-5));
      }
    }
  }
}
