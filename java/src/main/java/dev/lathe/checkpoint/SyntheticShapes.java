package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import tools.jackson.databind.node.ObjectNode;

/**
 * Shapes of public models, for measuring speed without a download: the configuration that each has
 * as published, and the matrices and vectors that follow from it.
 */
final class SyntheticShapes {
  private static final Map<String, String> CONFIGS = new TreeMap<>();

  static {
    llama("llama-3.2-1b", 2048, 8192, 16, 32, 8, 64, 128_256, 131_072, 500_000, true);
    llama("llama-3.2-3b", 3072, 8192, 28, 24, 8, 128, 128_256, 131_072, 500_000, true);
    llama("llama-3.1-8b", 4096, 14_336, 32, 32, 8, 128, 128_256, 131_072, 500_000, false);
    llama("llama-2-7b", 4096, 11_008, 32, 32, 32, 128, 32_000, 4096, 10_000, false);
    llama("tinyllama-1.1b", 2048, 5632, 22, 32, 4, 64, 32_000, 2048, 10_000, false);
    llama("smollm2-135m", 576, 1536, 30, 9, 3, 64, 49_152, 8192, 100_000, true);
  }

  private SyntheticShapes() {}

  private static void llama(
      String name,
      int hidden,
      int intermediate,
      int layers,
      int heads,
      int kvHeads,
      int headDim,
      int vocabulary,
      int context,
      int theta,
      boolean tied) {
    CONFIGS.put(
        name,
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": %d,
         "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": %d,
         "num_key_value_heads": %d, "head_dim": %d, "vocab_size": %d,
         "max_position_embeddings": %d, "rms_norm_eps": 1e-05, "rope_theta": %d.0,
         "tie_word_embeddings": %b, "hidden_act": "silu", "bos_token_id": %d, "eos_token_id": %d}
        """
            .formatted(
                hidden,
                intermediate,
                layers,
                heads,
                kvHeads,
                headDim,
                vocabulary,
                context,
                theta,
                tied,
                vocabulary - 2,
                vocabulary - 1));
  }

  /**
   * The configuration of a shape.
   *
   * @throws InvalidInputException if there is none of that name; lists those there are
   */
  static ObjectNode config(String shape) {
    String json = CONFIGS.get(shape);
    if (json == null) {
      throw new InvalidInputException(
          "there is no synthetic shape \"%s\"; there are %s"
              .formatted(shape, String.join(", ", CONFIGS.keySet())));
    }
    return (ObjectNode) StrictJson.mapper().readTree(json);
  }

  /** Matrices by module, [rows, cols]. */
  static Map<String, long[]> matrices(ObjectNode config) {
    long hidden = config.get("hidden_size").longValue();
    long intermediate = config.get("intermediate_size").longValue();
    long headDim = config.get("head_dim").longValue();
    long queries = config.get("num_attention_heads").longValue() * headDim;
    long keys = config.get("num_key_value_heads").longValue() * headDim;
    long vocabulary = config.get("vocab_size").longValue();
    Map<String, long[]> matrices = new LinkedHashMap<>();
    matrices.put("model.embed_tokens", new long[] {vocabulary, hidden});
    for (String layer : layers(config)) {
      matrices.put(layer + "self_attn.q_proj", new long[] {queries, hidden});
      matrices.put(layer + "self_attn.k_proj", new long[] {keys, hidden});
      matrices.put(layer + "self_attn.v_proj", new long[] {keys, hidden});
      matrices.put(layer + "self_attn.o_proj", new long[] {hidden, queries});
      matrices.put(layer + "mlp.gate_proj", new long[] {intermediate, hidden});
      matrices.put(layer + "mlp.up_proj", new long[] {intermediate, hidden});
      matrices.put(layer + "mlp.down_proj", new long[] {hidden, intermediate});
    }
    if (!config.get("tie_word_embeddings").booleanValue()) {
      matrices.put("lm_head", new long[] {vocabulary, hidden});
    }
    return matrices;
  }

  /** Names of the norms, each [hidden]. */
  static List<String> norms(ObjectNode config) {
    List<String> norms = new ArrayList<>();
    for (String layer : layers(config)) {
      norms.add(layer + "input_layernorm.weight");
      norms.add(layer + "post_attention_layernorm.weight");
    }
    norms.add("model.norm.weight");
    return norms;
  }

  private static List<String> layers(ObjectNode config) {
    List<String> layers = new ArrayList<>();
    for (int i = 0; i < config.get("num_hidden_layers").intValue(); i++) {
      layers.add("model.layers." + i + ".");
    }
    return layers;
  }
}
