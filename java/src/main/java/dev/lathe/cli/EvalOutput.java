package dev.lathe.cli;

import dev.lathe.measure.Quality;
import dev.lathe.measure.Statistics.Interval;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.OptionalDouble;
import tools.jackson.databind.node.ObjectNode;

/**
 * What {@code eval} prints.
 *
 * @param text that was predicted
 * @param cut documents that were longer than the context and lost their end
 */
record EvalOutput(Quality quality, Path text, int cut, String backend, String reason) {

  ObjectNode json() {
    ObjectNode json = Json.object();
    json.put("perplexity", Json.orNull(quality.perplexity()));
    Json.put(json, "perplexity_standard_error", perplexityStandardError());
    quality.perplexityCi95().ifPresent(ci -> interval(json, "perplexity_ci95", ci));
    json.put("mean_nll", Json.orNull(quality.meanNll()));
    Json.put(json, "nll_standard_error", quality.nllStandardError());
    json.put("tokens", quality.tokens());
    json.put("documents", quality.documents());
    json.put("cut_documents", cut);
    json.put("text", text.toString());
    quality
        .comparison()
        .ifPresent(base -> {
          json.put("kl_mean", Json.orNull(base.klMean()));
          Json.put(json, "kl_standard_error", base.klStandardError());
          json.put("top1_agreement", base.top1Agreement());
          Json.put(json, "top1_standard_error", base.top1StandardError());
          json.put("base_perplexity", Json.orNull(base.basePerplexity()));
          json.put("loss_percent", Json.orNull(base.lossPercent()));
          base.lossPercentCi95().ifPresent(ci -> interval(json, "loss_percent_ci95", ci));
        });
    json.put("backend", backend);
    json.put("backend_reason", reason);
    return json;
  }

  void print(PrintStream out) {
    out.printf(
        "perplexity %.6f%s over %,d tokens of %,d documents%s of %s%n",
        quality.perplexity(),
        plusMinus(perplexityStandardError(), "%.6f"),
        quality.tokens(),
        quality.documents(),
        cut > 0 ? " (%,d cut to the context)".formatted(cut) : "",
        text);
    quality
        .comparison()
        .ifPresent(base ->
            out.printf(
                "base %.6f: loss %.3f %%; KL %.6f%s nats a token; top-1 agreement %.3f %%%n",
                base.basePerplexity(),
                base.lossPercent(),
                base.klMean(),
                plusMinus(base.klStandardError(), "%.6f"),
                100 * base.top1Agreement()));
  }

  /** Of exp(mean NLL), to first order: perplexity times the error of the mean NLL. */
  private OptionalDouble perplexityStandardError() {
    return quality.nllStandardError().isPresent()
        ? OptionalDouble.of(quality.perplexity() * quality.nllStandardError().getAsDouble())
        : OptionalDouble.empty();
  }

  private static String plusMinus(OptionalDouble error, String format) {
    return error.isPresent() ? " ± " + format.formatted(error.getAsDouble()) : "";
  }

  private static void interval(ObjectNode json, String key, Interval interval) {
    json.putArray(key).add(interval.low()).add(interval.high());
  }
}
