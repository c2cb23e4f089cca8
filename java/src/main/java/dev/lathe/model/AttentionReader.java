package dev.lathe.model;

import static dev.lathe.model.Architecture.Trait.CAPPED;
import static dev.lathe.model.Architecture.Trait.GPT2_STYLE;
import static dev.lathe.model.Architecture.Trait.WINDOW_EVEN_LAYERS;
import static dev.lathe.model.Architecture.Trait.WINDOW_EVERYWHERE;
import static dev.lathe.model.Architecture.Trait.WINDOW_LATE_LAYERS;

import dev.lathe.backend.AttentionShape;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntPredicate;

/** How each layer's attention is scaled, capped and windowed, from the configuration. */
record AttentionReader(ConfigKeys keys, Architecture architecture, int layers) {

  List<AttentionShape> read(int heads, int kvHeads, int headDim) {
    double scale =
        1 / Math.sqrt(architecture.has(CAPPED) ? keys.positive("query_pre_attn_scalar") : headDim);
    boolean gpt2 = architecture.has(GPT2_STYLE);
    if (gpt2 && !keys.flag("scale_attn_weights", true)) {
      scale = 1;
    }
    boolean byLayer = gpt2 && keys.flag("scale_attn_by_inverse_layer_idx", false);
    float cap =
        architecture.has(CAPPED)
            ? (float) keys.positive("attn_logit_softcapping", AttentionShape.NO_CAP)
            : AttentionShape.NO_CAP;
    IntPredicate slides = slides();
    List<AttentionShape> shapes = new ArrayList<>();
    for (int i = 0; i < layers; i++) {
      int window = slides.test(i) ? keys.size("sliding_window") : AttentionShape.NO_WINDOW;
      float layerScale = (float) (byLayer ? scale / (i + 1) : scale);
      shapes.add(new AttentionShape(heads, kvHeads, headDim, layerScale, window, cap));
    }
    return shapes;
  }

  /** Which layers see a window only. */
  private IntPredicate slides() {
    if (keys.present("layer_types")) {
      return byType();
    }
    boolean window = keys.present("sliding_window");
    if (architecture.has(WINDOW_EVERYWHERE)) {
      return _ -> window;
    }
    if (architecture.has(WINDOW_EVEN_LAYERS)) {
      return i -> window && i % 2 == 0;
    }
    if (architecture.has(WINDOW_LATE_LAYERS)) {
      // The window is written into every configuration; this flag says whether it counts.
      if (!window || !keys.flag("use_sliding_window", false)) {
        return _ -> false;
      }
      int full = firstWindowed();
      return i -> i >= full;
    }
    if (window) {
      throw keys.invalid(
          "sliding_window asks for sliding-window attention, which %s has not",
          architecture.className);
    }
    return _ -> false;
  }

  /** {@code max_window_layers}, which counts the layers that see everything and may be 0. */
  private int firstWindowed() {
    String key = "max_window_layers";
    if (keys.present(key) && keys.get(key).isIntegralNumber() && keys.get(key).asInt(-1) == 0) {
      return 0;
    }
    return keys.size(key);
  }

  private IntPredicate byType() {
    List<String> types = keys.texts("layer_types");
    boolean known =
        types.stream().allMatch(t -> t.equals("full_attention") || t.equals("sliding_attention"));
    if (types.size() != layers || !known) {
      throw keys.invalid(
          "layer_types is %s; it must be a list of %d, each full_attention or sliding_attention",
          keys.get("layer_types"), layers);
    }
    boolean none = !types.contains("sliding_attention");
    if (!none && !architecture.has(WINDOW_EVEN_LAYERS) && !architecture.has(WINDOW_LATE_LAYERS)) {
      throw keys.invalid(
          "layer_types asks for sliding-window attention, which %s has not by layers",
          architecture.className);
    }
    if (none && architecture.has(WINDOW_EVERYWHERE) && keys.present("sliding_window")) {
      throw keys.invalid("layer_types says full_attention, and sliding_window is there as well");
    }
    return i -> types.get(i).equals("sliding_attention");
  }
}
