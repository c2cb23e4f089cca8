package dev.lathe.measure;

import com.fasterxml.jackson.annotation.JsonInclude;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.measure.Statistics.Interval;
import dev.lathe.model.Decoder;
import dev.lathe.model.Scoring;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Floats;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/**
 * How well a model predicts a text, and beside a base model, how far it has moved from it.
 *
 * @param perplexity exp(meanNll)
 * @param meanNll nats a token
 * @param tokens that were predicted
 * @param documents (or windows) that they lie in, the independent units of the errors
 * @param nllStandardError over documents; absent for fewer than two
 * @param perplexityCi95 exp of the interval of the mean NLL
 * @param comparison with the base, where there is one
 */
@JsonInclude(JsonInclude.Include.NON_ABSENT)
public record Quality(
    double perplexity,
    double meanNll,
    long tokens,
    int documents,
    OptionalDouble nllStandardError,
    Optional<Interval> perplexityCi95,
    Optional<Comparison> comparison,
    List<Document> perDocument) {

  public Quality {
    perDocument = List.copyOf(perDocument);
  }

  /**
   * A candidate against its base on the same tokens, both run in one pass. Standard errors and
   * intervals are over documents and of the paired differences, so they are much narrower than
   * those of two perplexities.
   *
   * @param lossPercent 100 (perplexity / base's - 1): what compression cost; below 0 is a gain
   * @param klMean KL(base || candidate), nats a token
   * @param top1Agreement part of the tokens whose most likely successor is the base's
   */
  @JsonInclude(JsonInclude.Include.NON_ABSENT)
  public record Comparison(
      double basePerplexity,
      double baseMeanNll,
      double lossPercent,
      Optional<Interval> lossPercentCi95,
      double klMean,
      OptionalDouble klStandardError,
      double top1Agreement,
      OptionalDouble top1StandardError) {}

  /** What one document (or window) gave. */
  public record Document(long tokens, double nll) {}

  /** Logits of a base model that are held at a time, at most; a document always fits. */
  private static final long HELD_BYTES = 64L << 20;

  /** Measures a model on a text. */
  public static Quality of(Decoder model, EvalText text, Progress progress) {
    QualitySums sums = new QualitySums(text.sequences());
    float[] row = new float[model.config().vocabulary()];
    Finished finished = new Finished(text.sequences(), progress);
    Scoring.score(
        model,
        text.sequences(),
        (s, first, logits) -> {
          int[] tokens = text.sequences().get(s);
          for (int r = 0; r < logits.size(0) && first + r + 1 < tokens.length; r++) {
            Floats.readRow(logits, r, row);
            requireFinite(row, s, first + r);
            sums.add(s, row, tokens[first + r + 1]);
          }
          finished.tokens(s, first + logits.size(0));
        });
    return sums.quality(false);
  }

  /**
   * Measures a model beside its base, in one pass: a few documents through the base, the same ones
   * through the candidate, and nothing is kept but sums.
   *
   * @throws InvalidInputException if their vocabularies differ
   */
  public static Quality of(Decoder candidate, Decoder base, EvalText text, Progress progress) {
    int vocabulary = base.config().vocabulary();
    if (candidate.config().vocabulary() != vocabulary) {
      throw new InvalidInputException(
          "the model has a vocabulary of %d and its base of %d: their predictions cannot be compared"
              .formatted(candidate.config().vocabulary(), vocabulary));
    }
    List<int[]> sequences = text.sequences();
    QualitySums sums = new QualitySums(sequences);
    Finished finished = new Finished(sequences, progress);
    long rowsHeld = Math.max(1, HELD_BYTES / (4L * vocabulary));
    for (int from = 0; from < sequences.size(); ) {
      int to = from;
      long rows = 0;
      while (to < sequences.size() && (to == from || rows + sequences.get(to).length <= rowsHeld)) {
        rows += sequences.get(to++).length;
      }
      compare(candidate, base, sequences, from, to, rows, sums, finished);
      from = to;
    }
    return sums.quality(true);
  }

  private static void compare(
      Decoder candidate,
      Decoder base,
      List<int[]> all,
      int from,
      int to,
      long rows,
      QualitySums sums,
      Finished finished) {
    List<int[]> group = all.subList(from, to);
    int vocabulary = base.config().vocabulary();
    long[] starts = new long[group.size()];
    for (int s = 1; s < starts.length; s++) {
      starts[s] = starts[s - 1] + group.get(s - 1).length;
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment memory = arena.allocate(4L * rows * vocabulary, 64);
      Tensor held = Tensor.of(memory, DType.F32, rows, vocabulary);
      Scoring.score(
          base,
          group,
          (s, first, logits) -> {
            long start = starts[s] + first;
            held.rows(start, start + logits.size(0))
                .memory()
                .asSlice(0, logits.bytes())
                .copyFrom(logits.memory().asSlice(0, logits.bytes()));
          });
      float[] baseRow = new float[vocabulary];
      float[] row = new float[vocabulary];
      Scoring.score(
          candidate,
          group,
          (s, first, logits) -> {
            int[] tokens = group.get(s);
            for (int r = 0; r < logits.size(0) && first + r + 1 < tokens.length; r++) {
              Floats.readRow(held, starts[s] + first + r, baseRow);
              Floats.readRow(logits, r, row);
              requireFinite(baseRow, from + s, first + r);
              requireFinite(row, from + s, first + r);
              sums.add(from + s, row, baseRow, tokens[first + r + 1]);
            }
            finished.tokens(from + s, first + logits.size(0));
          });
    }
  }

  private static void requireFinite(float[] logits, int document, int position) {
    for (int i = 0; i < logits.length; i++) {
      if (!Float.isFinite(logits[i])) {
        throw new LatheException(
            LatheException.INVALID,
            "document %d, after token %d: the logit of token %d is %s; the model has no perplexity"
                .formatted(document + 1, position + 1, i, logits[i]));
      }
    }
  }

  /** Tells progress of each sequence whose last token was scored. */
  private static final class Finished {
    private final List<int[]> sequences;
    private final Progress progress;
    private int done;

    Finished(List<int[]> sequences, Progress progress) {
      this.sequences = sequences;
      this.progress = progress;
    }

    void tokens(int sequence, long scored) {
      if (scored == sequences.get(sequence).length) {
        progress.done(++done, sequences.size());
      }
    }
  }
}
