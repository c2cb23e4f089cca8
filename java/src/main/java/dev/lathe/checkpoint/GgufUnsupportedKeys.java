package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Metadata keys of an architecture that change what is computed and that the configuration has no
 * word for, with the numbers under which ignoring them is right.
 */
final class GgufUnsupportedKeys {
  private record Refused(String meaning, Set<Double> harmless) {}

  private static final Set<Double> OFF = Set.of(0.0);
  private static final Set<Double> OFF_OR_ONE = Set.of(0.0, 1.0);

  private static final Map<String, Refused> KEYS =
      Map.ofEntries(
          Map.entry("expert_count", new Refused("experts", OFF)),
          Map.entry("expert_used_count", new Refused("experts", OFF)),
          Map.entry("attention.clamp_kqv", new Refused("clamped queries, keys and values", OFF)),
          Map.entry("attention.max_alibi_bias", new Refused("ALiBi", OFF)),
          Map.entry("attention.causal", new Refused("attention in both directions", Set.of(1.0))),
          Map.entry("attention.scale", new Refused("another scale of scores", OFF)),
          Map.entry("attn_logit_softcapping", new Refused("capped scores", OFF)),
          Map.entry("final_logit_softcapping", new Refused("capped logits", OFF)),
          Map.entry("use_parallel_residual", new Refused("parallel attention", OFF)),
          Map.entry("residual_scale", new Refused("scaled residuals", OFF_OR_ONE)),
          Map.entry("embedding_scale", new Refused("scaled embeddings", OFF_OR_ONE)),
          Map.entry("logit_scale", new Refused("scaled logits", OFF_OR_ONE)),
          Map.entry("rope.scaling.attn_factor", new Refused("scaled attention", OFF_OR_ONE)));

  private static final Set<String> OF_GEMMA2 =
      Set.of("attention.scale", "attn_logit_softcapping", "final_logit_softcapping");

  /** Keys that are read, and those that change nothing. */
  private static final Set<String> KNOWN =
      Set.of(
          "context_length",
          "embedding_length",
          "block_count",
          "feed_forward_length",
          "attention.head_count",
          "attention.head_count_kv",
          "attention.key_length",
          "attention.value_length",
          "attention.layer_norm_rms_epsilon",
          "attention.layer_norm_epsilon",
          "attention.sliding_window",
          "attention.sliding_window_pattern",
          "rope.dimension_count",
          "rope.freq_base",
          "rope.scale_linear",
          "rope.scaling.type",
          "rope.scaling.factor",
          "rope.scaling.original_context_length",
          "rope.scaling.finetuned",
          "tensor_data_layout",
          "vocab_size");

  private GgufUnsupportedKeys() {}

  /** Keys of the architecture that say something and that nobody here knows. */
  static List<String> unknown(GgufMetadata metadata, GgufArchitecture architecture) {
    String prefix = architecture.key("");
    return metadata.values().keySet().stream()
        .filter(key -> key.startsWith(prefix))
        .filter(key -> {
          String rest = key.substring(prefix.length());
          return !KNOWN.contains(rest) && !KEYS.containsKey(rest);
        })
        .sorted()
        .toList();
  }

  /**
   * @throws InvalidInputException for a key that asks for what is not run
   */
  static void refuse(GgufMetadata metadata, GgufArchitecture architecture) {
    for (String rest : KEYS.keySet().stream().sorted().toList()) {
      String key = architecture.key(rest);
      Refused refused = KEYS.get(rest);
      boolean known = architecture == GgufArchitecture.GEMMA2 && OF_GEMMA2.contains(rest);
      if (known || !metadata.has(key)) {
        continue;
      }
      double value = value(metadata, key);
      if (!refused.harmless.contains(value)) {
        throw metadata.bad(
            key,
            "is %s: it asks for %s, which Lathe does not run".formatted(value, refused.meaning));
      }
    }
    if (architecture == GgufArchitecture.GPT2) {
      for (String rest : List.of(GgufWindow.SIZE, "rope.scaling.factor")) {
        if (metadata.has(architecture.key(rest))) {
          throw metadata.bad(architecture.key(rest), "is there, which gpt2 has not");
        }
      }
    }
  }

  private static double value(GgufMetadata metadata, String key) {
    return switch (metadata.values().get(key).type()) {
      case FLOAT32, FLOAT64 -> metadata.number(key).orElseThrow();
      case BOOL -> metadata.flag(key).orElseThrow() ? 1 : 0;
      default -> metadata.integer(key).orElseThrow();
    };
  }
}
