package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.Optional;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Sliding windows: how many tokens a layer sees, and which layers have one, in both formats. */
final class GgufWindow {
  static final String SIZE = "attention.sliding_window";
  private static final String PATTERN = "attention.sliding_window_pattern";

  /** What the format's reference implementation takes where a Gemma 2 file does not say. */
  private static final long GEMMA2_WINDOW = 4096;

  private final GgufArchitecture architecture;

  GgufWindow(GgufArchitecture architecture) {
    this.architecture = architecture;
  }

  /** Layers that have a window where nothing says otherwise. */
  private Optional<boolean[]> usual(int layers) {
    boolean[] slides = new boolean[layers];
    return switch (architecture) {
      case MISTRAL, PHI3 -> {
        Arrays.fill(slides, true);
        yield Optional.of(slides);
      }
      case GEMMA2 -> {
        for (int i = 0; i < layers; i += 2) {
          slides[i] = true;
        }
        yield Optional.of(slides);
      }
      case QWEN2, QWEN3, LLAMA, GPT2 -> Optional.empty();
    };
  }

  /** From metadata to {@code config.json}. */
  void read(GgufMetadata metadata, ObjectNode config, int layers) {
    long otherwise = architecture == GgufArchitecture.GEMMA2 ? GEMMA2_WINDOW : 0;
    long window = metadata.integer(architecture.key(SIZE)).orElse(otherwise);
    boolean late = architecture == GgufArchitecture.QWEN2 || architecture == GgufArchitecture.QWEN3;
    if (late) {
      config.put("use_sliding_window", window > 0);
    }
    if (window <= 0) {
      return;
    }
    config.put("sliding_window", window);
    Optional<boolean[]> usual = usual(layers);
    boolean[] slides =
        pattern(metadata, layers)
            .or(() -> usual)
            .orElseThrow(() ->
                metadata.bad(
                    architecture.key(SIZE),
                    "is %d, but %s, which says for which layers, is missing"
                        .formatted(window, architecture.key(PATTERN))));
    if (usual.isEmpty() || !Arrays.equals(slides, usual.get())) {
      ArrayNode types = config.putArray("layer_types");
      for (boolean slide : slides) {
        types.add(slide ? "sliding_attention" : "full_attention");
      }
    }
  }

  /** Each layer, or one number n: of every n layers the last one sees everything. */
  private Optional<boolean[]> pattern(GgufMetadata metadata, int layers) {
    String key = architecture.key(PATTERN);
    GgufMetadata.Value value = metadata.values().get(key);
    if (value == null) {
      return Optional.empty();
    }
    boolean[] slides = new boolean[layers];
    if (!value.isArray()) {
      long n = metadata.integer(key).orElseThrow();
      for (int i = 0; i < layers; i++) {
        slides[i] = n == 0 || i % n < n - 1;
      }
      return Optional.of(slides);
    }
    long[] each = metadata.integers(key).orElseThrow();
    if (each.length != layers) {
      throw metadata.bad(
          key, "has %d values, but there are %d layers".formatted(each.length, layers));
    }
    for (int i = 0; i < layers; i++) {
      slides[i] = each[i] != 0;
    }
    return Optional.of(slides);
  }

  /**
   * From {@code config.json} to metadata.
   *
   * @return what other engines may do differently, if anything
   */
  Optional<String> write(
      ObjectNode config, int layers, long context, GgufMetadataBuilder out, String where) {
    boolean[] slides = slides(config, layers, where);
    boolean none = IntStream.range(0, layers).noneMatch(i -> slides[i]);
    JsonNode size = config.path("sliding_window");
    if (!none && (!size.isIntegralNumber() || size.asLong() < 1)) {
      throw new InvalidInputException(
          "%s: sliding_window is %s; it must be a positive integer".formatted(where, size));
    }
    // A window of the whole context is none; two architectures have a word for none.
    boolean nothing = none || size.asLong() >= context;
    if (nothing) {
      if (architecture == GgufArchitecture.PHI3) {
        out.u32(architecture.key(SIZE), 0);
      } else if (architecture == GgufArchitecture.GEMMA2) {
        out.u32(architecture.key(SIZE), context);
      }
      return Optional.empty();
    }
    out.u32(architecture.key(SIZE), size.asLong());
    Optional<boolean[]> usual = usual(layers);
    boolean asUsual = usual.isPresent() && Arrays.equals(slides, usual.get());
    if (!asUsual) {
      out.flags(architecture.key(PATTERN), slides);
    }
    return asUsual && architecture == GgufArchitecture.GEMMA2
        ? Optional.empty()
        : Optional.of(
            "an engine that knows no sliding window in files of the architecture %s computes something else beyond %d tokens"
                .formatted(architecture.ggufName(), size.asLong()));
  }

  private boolean[] slides(ObjectNode config, int layers, String where) {
    boolean[] slides = new boolean[layers];
    JsonNode types = config.path("layer_types");
    if (types.isArray()) {
      if (types.size() != layers) {
        throw new InvalidInputException(
            "%s: layer_types has %d elements, but there are %d layers"
                .formatted(where, types.size(), layers));
      }
      for (int i = 0; i < layers; i++) {
        slides[i] = types.get(i).asString("").equals("sliding_attention");
      }
      return slides;
    }
    JsonNode size = config.path("sliding_window");
    if (size.isMissingNode() || size.isNull()) {
      return slides;
    }
    return switch (architecture) {
      case MISTRAL, PHI3, GEMMA2 -> usual(layers).orElseThrow();
      case QWEN2, QWEN3 -> {
        boolean used = config.path("use_sliding_window").asBoolean(false);
        int full = config.path("max_window_layers").asInt(0);
        for (int i = 0; i < layers; i++) {
          slides[i] = used && i >= full;
        }
        yield slides;
      }
      case LLAMA, GPT2 ->
          throw new InvalidInputException(
              "%s: sliding_window asks for sliding-window attention, which %s has not"
                  .formatted(where, architecture.className()));
    };
  }
}
