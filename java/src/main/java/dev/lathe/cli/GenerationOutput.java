package dev.lathe.cli;

import dev.lathe.generate.Generation;
import dev.lathe.generate.TokenLogprobs;
import java.io.PrintStream;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What {@code generate} prints. Of several sequences, {@code text} and {@code tokens} are the
 * first's, times are medians, and {@code generations} holds all.
 */
record GenerationOutput(List<Generation> generations, String backend, String reason) {

  ObjectNode json() {
    Generation first = generations.getFirst();
    ObjectNode result = Json.object();
    result.put("text", first.text());
    tokens(result.putArray("tokens"), first);
    result.put("prompt_tokens", first.promptTokens());
    result.put("finish", finish(first));
    Json.put(
        result, "ttft_ms", median(generations.stream().mapToDouble(g -> ttftMillis(g)).toArray()));
    Json.put(result, "tpot_ms", tpotMillis());
    Json.put(result, "tokens_per_second", tokensPerSecond());
    result.put("generated_tokens", generatedTokens());
    logprobs(result, first);
    result.put("backend", backend);
    result.put("backend_reason", reason);
    if (generations.size() > 1) {
      ArrayNode all = result.putArray("generations");
      for (Generation generation : generations) {
        ObjectNode one = all.addObject();
        one.put("text", generation.text());
        tokens(one.putArray("tokens"), generation);
        one.put("prompt_tokens", generation.promptTokens());
        one.put("finish", finish(generation));
        one.put("ttft_ms", ttftMillis(generation));
        Json.put(one, "tpot_ms", tpotMillis(generation));
        logprobs(one, generation);
      }
    }
    return result;
  }

  void printTexts(PrintStream out) {
    for (int i = 0; i < generations.size(); i++) {
      out.println("[" + (i + 1) + "] " + generations.get(i).text());
    }
  }

  String summary() {
    OptionalDouble tpot = tpotMillis();
    return "%d tokens; first after %.1f ms%s; %.1f tokens/s on %s"
        .formatted(
            generatedTokens(),
            median(generations.stream().mapToDouble(g -> ttftMillis(g)).toArray()).orElseThrow(),
            tpot.isPresent() ? ", then %.2f ms a token".formatted(tpot.getAsDouble()) : "",
            tokensPerSecond().orElseThrow(),
            backend);
  }

  private long generatedTokens() {
    return generations.stream().mapToLong(g -> g.tokens().length).sum();
  }

  /**
   * Generated tokens of all sequences over the time from the first submission to the last token.
   */
  private OptionalDouble tokensPerSecond() {
    long start = generations.stream().mapToLong(Generation::submittedNanos).min().orElseThrow();
    long end = generations.stream().mapToLong(g -> last(g.tokenNanos())).max().orElseThrow();
    return end > start
        ? OptionalDouble.of(generatedTokens() * 1e9 / (end - start))
        : OptionalDouble.empty();
  }

  private OptionalDouble tpotMillis() {
    return median(
        generations.stream()
            .map(GenerationOutput::tpotMillis)
            .filter(OptionalDouble::isPresent)
            .mapToDouble(OptionalDouble::getAsDouble)
            .toArray());
  }

  /** Time per output token without the first; none where there is only the first. */
  private static OptionalDouble tpotMillis(Generation generation) {
    long[] at = generation.tokenNanos();
    return at.length < 2
        ? OptionalDouble.empty()
        : OptionalDouble.of((last(at) - at[0]) / 1e6 / (at.length - 1));
  }

  private static double ttftMillis(Generation generation) {
    return (generation.tokenNanos()[0] - generation.submittedNanos()) / 1e6;
  }

  private static long last(long[] nanos) {
    return nanos[nanos.length - 1];
  }

  private static OptionalDouble median(double[] values) {
    if (values.length == 0) {
      return OptionalDouble.empty();
    }
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    int middle = sorted.length / 2;
    return OptionalDouble.of(
        sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2);
  }

  private static void tokens(ArrayNode array, Generation generation) {
    for (int token : generation.tokens()) {
      array.add(token);
    }
  }

  /** One entry a token, where they were asked for. */
  private static void logprobs(ObjectNode object, Generation generation) {
    if (generation.logprobs().isEmpty()) {
      return;
    }
    ArrayNode all = object.putArray("logprobs");
    for (TokenLogprobs token : generation.logprobs()) {
      ObjectNode one = all.addObject();
      one.put("logprob", token.logprob());
      ArrayNode top = one.putArray("top");
      for (TokenLogprobs.Entry entry : token.top()) {
        top.addObject().put("token", entry.token()).put("logprob", entry.logprob());
      }
    }
  }

  private static String finish(Generation generation) {
    return generation.finish().name().toLowerCase(Locale.ROOT);
  }
}
