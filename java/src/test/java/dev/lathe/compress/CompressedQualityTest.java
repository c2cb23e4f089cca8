package dev.lathe.compress;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import dev.lathe.SharedFiles;
import dev.lathe.backend.Backend;
import dev.lathe.backend.reference.ReferenceBackend;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.model.Decoder;
import dev.lathe.model.Scoring;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.json.JsonMapper;

/**
 * What compression costs a real model, from the file that was written to the logits, on a text that
 * the model itself gave: its 200 most probable tokens from the beginning.
 */
final class CompressedQualityTest {
  private final Path models = SharedFiles.require("models");

  @TempDir Path folder;

  @Test
  void int8CostsLittleAndHalfOfTheWeightsMuch() throws IOException {
    int[] greedy =
        JsonMapper.builder()
            .build()
            .readTree(Files.readString(models.resolve("stories260k.expected.json")))
            .get("greedy_200_from_bos")
            .valueStream()
            .mapToInt(node -> node.intValue())
            .toArray();
    try (Checkpoint model = Checkpoints.open(models.resolve("stories260k"))) {
      double base = meanNll(model, greedy);
      assertThat(agreement(model, greedy)).isEqualTo(greedy.length - 1);

      for (boolean symmetric : new boolean[] {true, false}) {
        double int8 = meanNll(apply(new QuantizeInt8(symmetric), model), greedy);
        System.out.printf("int8 symmetric=%s: perplexity %+.3f %%%n", symmetric, loss(base, int8));
        assertThat(loss(base, int8)).isCloseTo(0, within(1.0));
      }
      Checkpoint pruned = apply(new MagnitudePrune(0.5, Scope.LAYER), model);
      double half = meanNll(pruned, greedy);
      System.out.printf("half pruned: perplexity times %.1f%n", Math.exp(half - base));
      assertThat(Math.exp(half - base)).isGreaterThan(3);

      // Quantizing what is pruned adds little to what pruning has cost.
      double both = meanNll(apply(new QuantizeInt8(true), pruned), greedy);
      assertThat(Math.exp(both - half)).isBetween(0.9, 1.1);
    }
  }

  private static double loss(double base, double changed) {
    return 100 * (Math.exp(changed - base) - 1);
  }

  private Checkpoint apply(Technique technique, Checkpoint in) {
    Path out = folder.resolve(in.path().getFileName() + " " + technique.name());
    return Checkpoints.open(technique.apply(in, out, Progress.SILENT).folder());
  }

  /** Mean of -ln p(token | those before) over all but the first. */
  private static double meanNll(Checkpoint checkpoint, int[] tokens) {
    double[] sum = new double[1];
    score(
        checkpoint,
        tokens,
        (position, logits) -> {
          double[] row = logits;
          double largest = IntStream.range(0, row.length).mapToDouble(i -> row[i]).max().orElse(0);
          double total = 0;
          for (double logit : row) {
            total += Math.exp(logit - largest);
          }
          sum[0] += largest + Math.log(total) - row[tokens[position + 1]];
        });
    return sum[0] / (tokens.length - 1);
  }

  /** How many tokens are the most probable ones. */
  private static int agreement(Checkpoint checkpoint, int[] tokens) {
    int[] agreed = new int[1];
    score(
        checkpoint,
        tokens,
        (position, row) -> {
          double largest = IntStream.range(0, row.length).mapToDouble(i -> row[i]).max().orElse(0);
          agreed[0] += row[tokens[position + 1]] == largest ? 1 : 0;
        });
    return agreed[0];
  }

  private interface Row {
    void accept(int position, double[] logits);
  }

  /** The logits after every token but the last. */
  private static void score(Checkpoint checkpoint, int[] tokens, Row to) {
    try (Backend backend = new ReferenceBackend();
        Decoder decoder = Decoder.load(checkpoint, backend)) {
      Scoring.score(
          decoder,
          List.of(tokens),
          (sequence, first, logits) -> {
            double[] row = new double[(int) logits.size(1)];
            for (int r = 0; r < logits.size(0) && first + r + 1 < tokens.length; r++) {
              read(logits, r, row);
              to.accept(first + r, row);
            }
          });
    }
  }

  private static void read(Tensor logits, int r, double[] row) {
    for (int c = 0; c < row.length; c++) {
      row[c] =
          logits.memory().getAtIndex(ValueLayout.JAVA_FLOAT_UNALIGNED, (long) r * row.length + c);
    }
  }
}
