package dev.lathe.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.error.InvalidInputException;
import dev.lathe.generate.ByteTokenizer;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import dev.lathe.tokenize.Tokenizer;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DecoderTest {
  /** F32 activations between operations: 24 bits, some 60 operations deep. */
  private static final double TOLERANCE = 1e-5;

  private final TinyModel model = new TinyModel(1);
  private final ReferenceBackend backend = new ReferenceBackend();

  @AfterEach
  void close() {
    model.close();
    backend.close();
  }

  @Test
  void logitsEqualAnIndependentLlama() {
    int[] tokens = tokens(40, 7);
    double[][] expected = new PlainLlama(model).logits(tokens);
    try (Decoder decoder = Decoder.load(model, backend)) {
      assertClose(score(decoder, List.of(tokens)).getFirst(), expected);
    }
  }

  @Test
  void aWrongPositionWouldBeSeen() {
    int[] tokens = tokens(40, 7);
    double[][] expected = new PlainLlama(model).logits(tokens);
    model.config().put("rope_theta", 20_000.0);
    try (Decoder decoder = Decoder.load(model, backend)) {
      double[][] rotatedWrongly = score(decoder, List.of(tokens)).getFirst();
      assertThatThrownBy(() -> assertClose(rotatedWrongly, expected))
          .isInstanceOf(AssertionError.class);
    }
  }

  @Test
  void aSequenceScoresTheSameAloneAndAmongOthers() {
    List<int[]> sequences = List.of(tokens(33, 1), tokens(1, 2), tokens(95, 3), tokens(16, 4));
    try (Decoder decoder = Decoder.load(model, backend)) {
      List<double[][]> together = score(decoder, sequences);
      for (int i = 0; i < sequences.size(); i++) {
        assertThat(together.get(i))
            .isDeepEqualTo(score(decoder, List.of(sequences.get(i))).getFirst());
      }
    }
  }

  @Test
  void tokenByTokenThroughTheCacheGivesTheLogitsOfTheWholeSequence() {
    int[] tokens = tokens(50, 9);
    try (Decoder decoder = Decoder.load(model, backend);
        KvCache cache = decoder.newCache(13, 4);
        KvSequence sequence = cache.newSequence();
        Arena arena = Arena.ofConfined()) {
      double[][] whole = score(decoder, List.of(tokens)).getFirst();
      Tensor logits =
          Tensor.of(arena.allocate(4L * TinyModel.VOCABULARY), DType.F32, 1, TinyModel.VOCABULARY);
      for (int i = 0; i < tokens.length; i++) {
        decoder.forward(
            new Batch().add(sequence, tokens, i, i + 1, Batch.Logits.LAST), cache, logits);
        assertThat(row(logits, 0)).isEqualTo(whole[i]);
      }
    }
  }

  @Test
  void refusesTokensOutsideTheVocabularyAndSequencesBeyondTheContext() {
    try (Decoder decoder = Decoder.load(model, backend)) {
      assertThatThrownBy(() -> score(decoder, List.of(new int[] {TinyModel.VOCABULARY})))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("vocabulary of 300");
      assertThatThrownBy(() -> score(decoder, List.of(tokens(97, 1))))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("97")
          .hasMessageContaining("96");
    }
  }

  @Test
  void namesAMissingTensorAndAWrongShape() {
    Tensor up = model.tensor("model.layers.1.mlp.up_proj.weight");
    model.replace("model.layers.1.mlp.up_proj.weight", up.rows(0, 43));
    assertThatThrownBy(() -> Decoder.load(model, backend))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("model.layers.1.mlp.up_proj is [43, 24]")
        .hasMessageContaining("[44, 24]");
    model.replace("model.layers.1.mlp.up_proj.weight", null);
    assertThatThrownBy(() -> Decoder.load(model, backend))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("model.layers.1.mlp.up_proj");
  }

  @Test
  void refusesWeightsThatAreNotNumbers() {
    Tensor norm = model.tensor("model.layers.1.input_layernorm.weight");
    norm.memory().setAtIndex(ValueLayout.JAVA_FLOAT, 7, Float.NEGATIVE_INFINITY);
    assertThatThrownBy(() -> Decoder.load(model, backend))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("model.layers.1.input_layernorm.weight has -Infinity in row 0")
        .hasMessageContaining("column 7");
  }

  @Test
  void refusesATokenizerWithMoreTokensThanTheEmbeddingHasRows() {
    try (Decoder decoder = Decoder.load(model, backend)) {
      decoder.requireVocabularyOf(vocabularyOf(TinyModel.VOCABULARY));
      decoder.requireVocabularyOf(vocabularyOf(TinyModel.VOCABULARY - 40));
      assertThatThrownBy(() -> decoder.requireVocabularyOf(vocabularyOf(TinyModel.VOCABULARY + 1)))
          .isInstanceOf(InvalidInputException.class)
          .hasMessageContaining("ids up to 300, but the embedding has 300 rows");
    }
  }

  private static Tokenizer vocabularyOf(int size) {
    return new ByteTokenizer() {
      @Override
      public int vocabularySize() {
        return size;
      }
    };
  }

  @Test
  void countsTheBytesThatAreResident() {
    try (Decoder decoder = Decoder.load(model, backend)) {
      assertThat(decoder.weightBytes()).isEqualTo(model.fileBytes());
      assertThat(decoder.activationBytes()).isZero();
      score(decoder, List.of(tokens(10, 1)));
      assertThat(decoder.activationBytes()).isPositive();
    }
  }

  static int[] tokens(int count, long seed) {
    return new SplittableRandom(seed).ints(count, 0, TinyModel.VOCABULARY).toArray();
  }

  private static List<double[][]> score(Decoder decoder, List<int[]> sequences) {
    List<double[][]> all = sequences.stream().map(s -> new double[s.length][]).toList();
    Scoring.score(
        decoder,
        sequences,
        (sequence, first, logits) -> {
          for (int r = 0; r < logits.size(0); r++) {
            all.get(sequence)[first + r] = row(logits, r);
          }
        });
    return all;
  }

  private static double[] row(Tensor matrix, long index) {
    float[] row = new float[(int) matrix.size(1)];
    Floats.readRow(matrix, index, row);
    double[] doubles = new double[row.length];
    for (int i = 0; i < row.length; i++) {
      doubles[i] = row[i];
    }
    return doubles;
  }

  private static void assertClose(double[][] actual, double[][] expected) {
    for (int t = 0; t < expected.length; t++) {
      for (int i = 0; i < expected[t].length; i++) {
        assertThat(actual[t][i])
            .as("token %d, logit %d", t, i)
            .isCloseTo(
                expected[t][i],
                org.assertj.core.data.Offset.offset(TOLERANCE * (1 + Math.abs(expected[t][i]))));
      }
    }
  }
}
