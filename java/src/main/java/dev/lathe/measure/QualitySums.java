package dev.lathe.measure;

import dev.lathe.measure.Quality.Comparison;
import dev.lathe.measure.Quality.Document;
import dev.lathe.measure.Statistics.Interval;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.IntStream;

/** Sums by document of everything that quality is computed from. */
final class QualitySums {
  private final long[] tokens;
  private final double[] nll;
  private final double[] baseNll;
  private final double[] divergence;
  private final double[] agreed;

  QualitySums(List<int[]> sequences) {
    int documents = sequences.size();
    tokens = new long[documents];
    nll = new double[documents];
    baseNll = new double[documents];
    divergence = new double[documents];
    agreed = new double[documents];
  }

  void add(int document, float[] logits, int next) {
    tokens[document]++;
    nll[document] += QualityMath.negativeLogLikelihood(logits, next);
  }

  void add(int document, float[] logits, float[] base, int next) {
    add(document, logits, next);
    baseNll[document] += QualityMath.negativeLogLikelihood(base, next);
    divergence[document] += QualityMath.divergence(base, logits);
    agreed[document] += QualityMath.argmax(base) == QualityMath.argmax(logits) ? 1 : 0;
  }

  Quality quality(boolean compared) {
    double mean = QualityMath.clusteredMean(nll, tokens);
    OptionalDouble error = QualityMath.standardError(nll, tokens);
    return new Quality(
        QualityMath.perplexity(mean),
        mean,
        IntStream.range(0, tokens.length).mapToLong(d -> tokens[d]).sum(),
        tokens.length,
        error,
        QualityMath.interval(mean, error, tokens.length)
            .map(i -> new Interval(Math.exp(i.low()), Math.exp(i.high()))),
        compared ? Optional.of(comparison()) : Optional.empty(),
        IntStream.range(0, tokens.length).mapToObj(d -> new Document(tokens[d], nll[d])).toList());
  }

  private Comparison comparison() {
    int documents = tokens.length;
    double[] difference = new double[documents];
    for (int d = 0; d < documents; d++) {
      difference[d] = nll[d] - baseNll[d];
    }
    double baseMean = QualityMath.clusteredMean(baseNll, tokens);
    double mean = QualityMath.clusteredMean(difference, tokens);
    return new Comparison(
        QualityMath.perplexity(baseMean),
        baseMean,
        QualityMath.lossPercent(mean),
        QualityMath.interval(mean, QualityMath.standardError(difference, tokens), documents)
            .map(i ->
                new Interval(QualityMath.lossPercent(i.low()), QualityMath.lossPercent(i.high()))),
        QualityMath.clusteredMean(divergence, tokens),
        QualityMath.standardError(divergence, tokens),
        QualityMath.clusteredMean(agreed, tokens),
        QualityMath.standardError(agreed, tokens));
  }
}
