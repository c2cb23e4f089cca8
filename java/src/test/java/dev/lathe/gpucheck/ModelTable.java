package dev.lathe.gpucheck;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import tools.jackson.databind.JsonNode;

/**
 * Whole models: tokens a second after the first one, the share of the measured bandwidth that
 * reading the weights takes, and what PyTorch needs for a token of the same shape.
 */
final class ModelTable {
  private static final String GROUP = "models.";

  private final Map<String, List<Double>> tokenMillis = new LinkedHashMap<>();
  private final Map<String, Long> weightBytes = new LinkedHashMap<>();
  private final Map<String, Timing> peers = new LinkedHashMap<>();

  ModelTable(List<Outcome> outcomes) {
    for (Outcome outcome : outcomes) {
      for (JsonNode data : outcome.data()) {
        if (outcome.id().startsWith(GROUP)) {
          add(outcome.id().substring(GROUP.length()).replaceAll("\\.[^.]*$", ""), data);
        }
        Timing.of(data)
            .filter(timing -> timing.bench().startsWith("decode_"))
            .ifPresent(timing -> peers.put(timing.bench() + " " + timing.shape(), timing));
      }
    }
  }

  private void add(String model, JsonNode data) {
    if (data.path("tpot_ms").isNumber()) {
      tokenMillis
          .computeIfAbsent(model, _ -> new ArrayList<>())
          .add(data.get("tpot_ms").asDouble());
    }
    if (data.path("weights_bytes").isNumber()) {
      weightBytes.put(model, data.get("weights_bytes").asLong());
    }
  }

  /** Empty where no model ran. */
  String markdown(OptionalDouble bandwidthGbs) {
    if (tokenMillis.isEmpty()) {
      return "";
    }
    StringBuilder text =
        new StringBuilder(
            """

            ## Models

            One sequence, greedy; median of the runs, each a process. Times of PyTorch against ours: a step in plain
            PyTorch, compiled and replayed as a graph, and transformers with its static cache.

            | model | tokens/s | ms a token | weights, of bandwidth | PyTorch | transformers |
            |---|---|---|---|---|---|
            """);
    tokenMillis.forEach((model, times) -> text.append(row(model, times, bandwidthGbs)));
    return text.toString();
  }

  private String row(String model, List<Double> times, OptionalDouble bandwidthGbs) {
    double median = times.stream().sorted().skip(times.size() / 2).findFirst().orElseThrow();
    Optional<Long> bytes =
        peer("decode_bf16", model)
            .filter(timing -> timing.bytes().isPresent())
            .map(timing -> timing.bytes().getAsLong()) // without rows of an embedding not read
            .or(() -> Optional.ofNullable(weightBytes.get(model)));
    String share =
        bytes.isPresent() && bandwidthGbs.isPresent()
            ? "%.1f %%".formatted(100 * bytes.get() / median / 1e6 / bandwidthGbs.getAsDouble())
            : "";
    return String.format(
        Locale.ROOT,
        "| %s | %.1f | %s | %s | %s | %s |%n",
        model,
        1e3 / median,
        times,
        share,
        ratio("decode_bf16", model, median),
        ratio("decode_bf16_transformers", model, median));
  }

  /** The shape of {@code llama-3.2-1b-bf16} is {@code llama-3.2-1b}. */
  private Optional<Timing> peer(String bench, String model) {
    return Optional.ofNullable(peers.get(bench + " " + model.replaceAll("-bf16$", "")));
  }

  private String ratio(String bench, String model, double millis) {
    return peer(bench, model)
        .map(timing -> "%.2f times as long".formatted(timing.median() / 1e3 / millis))
        .orElse("");
  }
}
