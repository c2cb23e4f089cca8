package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Map;
import java.util.TreeMap;
import tools.jackson.databind.node.ObjectNode;

/**
 * Shapes of public models, for measuring speed without a download: the configuration that each has
 * as published, but for the tokens that begin and end, which are the last two of the vocabulary.
 */
final class SyntheticShapes {
  /**
   * Name, class, hidden, intermediate, layers, heads, heads of keys, elements of a head,
   * vocabulary, context, epsilon, base of the rotation, whether the head is the embedding, and what
   * else the configuration says.
   */
  private static final String LLAMA_LIKE =
      """
      llama-2-7b      Llama   4096 11008 32 32 32 128  32000   4096 1e-05   10000 false
      llama-2-13b     Llama   5120 13824 40 40 40 128  32000   4096 1e-05   10000 false
      llama-3-8b      Llama   4096 14336 32 32  8 128 128256   8192 1e-05  500000 false
      llama-3.1-8b    Llama   4096 14336 32 32  8 128 128256 131072 1e-05  500000 false factor=8
      llama-3.1-70b   Llama   8192 28672 80 64  8 128 128256 131072 1e-05  500000 false factor=8
      llama-3.2-1b    Llama   2048  8192 16 32  8  64 128256 131072 1e-05  500000 true  factor=32
      llama-3.2-3b    Llama   3072  8192 28 24  8 128 128256 131072 1e-05  500000 true  factor=32
      tinyllama-1.1b  Llama   2048  5632 22 32  4  64  32000   2048 1e-05   10000 false
      smollm2-135m    Llama    576  1536 30  9  3  64  49152   8192 1e-05  100000 true
      smollm2-360m    Llama    960  2560 32 15  5  64  49152   8192 1e-05  100000 true
      smollm2-1.7b    Llama   2048  8192 24 32 32  64  49152   8192 1e-05  130000 true
      mistral-7b      Mistral 4096 14336 32 32  8 128  32000  32768 1e-05   10000 false window=4096
      mistral-7b-v0.3 Mistral 4096 14336 32 32  8 128  32768  32768 1e-05 1000000 false
      qwen2.5-0.5b    Qwen2    896  4864 24 14  2  64 151936  32768 1e-06 1000000 true
      qwen2.5-1.5b    Qwen2   1536  8960 28 12  2 128 151936 131072 1e-06 1000000 true
      qwen2.5-3b      Qwen2   2048 11008 36 16  2 128 151936  32768 1e-06 1000000 true
      qwen2.5-7b      Qwen2   3584 18944 28 28  4 128 152064 131072 1e-06 1000000 false
      qwen3-0.6b      Qwen3   1024  3072 28 16  8 128 151936  40960 1e-06 1000000 true
      qwen3-1.7b      Qwen3   2048  6144 28 16  8 128 151936  40960 1e-06 1000000 true
      qwen3-4b        Qwen3   2560  9728 36 32  8 128 151936  40960 1e-06 1000000 true
      qwen3-8b        Qwen3   4096 12288 36 32  8 128 151936  40960 1e-06 1000000 false
      phi-3-mini      Phi3    3072  8192 32 32 32  96  32064   4096 1e-05   10000 false window=2047
      phi-3-medium    Phi3    5120 17920 40 40 10 128  32064   4096 1e-05   10000 false window=2047
      gemma-2-2b      Gemma2  2304  9216 26  8  4 256 256000   8192 1e-06   10000 true  window=4096
      gemma-2-9b      Gemma2  3584 14336 42 16  8 256 256000   8192 1e-06   10000 true  window=4096
      """;

  /** Name, hidden, layers, heads. */
  private static final String GPT2 =
      """
      gpt2         768 12 12
      gpt2-medium 1024 24 16
      gpt2-large  1280 36 20
      gpt2-xl     1600 48 25
      """;

  private static final int GPT2_VOCABULARY = 50_257;
  private static final int GPT2_CONTEXT = 1024;

  private static final Map<String, String[]> SHAPES = new TreeMap<>();

  static {
    for (String table : new String[] {LLAMA_LIKE, GPT2}) {
      table.lines().map(line -> line.split(" +")).forEach(row -> SHAPES.put(row[0], row));
    }
  }

  private SyntheticShapes() {}

  /**
   * The configuration of a shape.
   *
   * @throws InvalidInputException if there is none of that name; lists those there are
   */
  static ObjectNode config(String shape) {
    String[] row = SHAPES.get(shape);
    if (row == null) {
      throw new InvalidInputException(
          "there is no synthetic shape \"%s\"; there are %s"
              .formatted(shape, String.join(", ", names())));
    }
    ObjectNode config = StrictJson.mapper().createObjectNode();
    return row.length == 4 ? gpt2(config, row) : llamaLike(config, row);
  }

  /** All shapes, sorted. */
  static Iterable<String> names() {
    return SHAPES.keySet();
  }

  private static ObjectNode gpt2(ObjectNode config, String[] row) {
    config.putArray("architectures").add("GPT2LMHeadModel");
    config.put("model_type", "gpt2");
    config.put("n_embd", Integer.parseInt(row[1]));
    config.put("n_layer", Integer.parseInt(row[2]));
    config.put("n_head", Integer.parseInt(row[3]));
    config.put("n_positions", GPT2_CONTEXT);
    config.put("activation_function", "gelu_new").put("layer_norm_epsilon", 1e-5);
    return ends(config, GPT2_VOCABULARY);
  }

  private static ObjectNode llamaLike(ObjectNode config, String[] row) {
    String modelType = row[1].toLowerCase(java.util.Locale.ROOT);
    config.putArray("architectures").add(row[1] + "ForCausalLM");
    config.put("model_type", modelType);
    String[] sizes = {
      "hidden_size",
      "intermediate_size",
      "num_hidden_layers",
      "num_attention_heads",
      "num_key_value_heads",
      "head_dim",
      "vocab_size",
      "max_position_embeddings"
    };
    for (int i = 0; i < sizes.length; i++) {
      config.put(sizes[i], Integer.parseInt(row[2 + i]));
    }
    config.put("rms_norm_eps", Double.parseDouble(row[10]));
    config.put("rope_theta", Double.parseDouble(row[11]));
    config.put("tie_word_embeddings", Boolean.parseBoolean(row[12]));
    config.put("hidden_act", modelType.equals("gemma2") ? "gelu_pytorch_tanh" : "silu");
    if (row.length > 13) {
      String[] more = row[13].split("=", 2);
      switch (more[0]) {
        case "window" -> config.put("sliding_window", Integer.parseInt(more[1]));
        case "factor" ->
            config
                .putObject("rope_scaling")
                .put("rope_type", "llama3")
                .put("factor", Double.parseDouble(more[1]))
                .put("low_freq_factor", 1.0)
                .put("high_freq_factor", 4.0)
                .put("original_max_position_embeddings", 8192);
        default -> throw new IllegalStateException(row[13]);
      }
    }
    if (modelType.startsWith("qwen")) {
      config.put("use_sliding_window", false);
    }
    if (modelType.equals("gemma2")) {
      config.put("hidden_activation", "gelu_pytorch_tanh").put("query_pre_attn_scalar", 256);
      config.put("attn_logit_softcapping", 50.0).put("final_logit_softcapping", 30.0);
    }
    return ends(config, config.get("vocab_size").intValue());
  }

  private static ObjectNode ends(ObjectNode config, int vocabulary) {
    return config
        .put("vocab_size", vocabulary)
        .put("bos_token_id", vocabulary - 2)
        .put("eos_token_id", vocabulary - 1);
  }
}
