package dev.lathe.checkpoint;

import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a GGUF file calls the modules of an architecture, and what Hugging Face calls them. "N"
 * stands for the number of a layer.
 */
final class GgufNames {
  private static final String DECODER =
      """
      token_embd         model.embed_tokens
      output_norm        model.norm
      output             lm_head
      blk.N.attn_norm    model.layers.N.input_layernorm
      blk.N.attn_output  model.layers.N.self_attn.o_proj
      blk.N.ffn_down     model.layers.N.mlp.down_proj
      """;

  private static final String SPLIT =
      """
      blk.N.attn_q       model.layers.N.self_attn.q_proj
      blk.N.attn_k       model.layers.N.self_attn.k_proj
      blk.N.attn_v       model.layers.N.self_attn.v_proj
      blk.N.ffn_gate     model.layers.N.mlp.gate_proj
      blk.N.ffn_up       model.layers.N.mlp.up_proj
      """;

  private static final String NORM_BEFORE =
      """
      blk.N.ffn_norm     model.layers.N.post_attention_layernorm
      """;

  static final GgufNames LLAMA = new GgufNames(DECODER + SPLIT + NORM_BEFORE);

  static final GgufNames QWEN3 =
      new GgufNames(
          DECODER
              + SPLIT
              + NORM_BEFORE
              + """
              blk.N.attn_q_norm  model.layers.N.self_attn.q_norm
              blk.N.attn_k_norm  model.layers.N.self_attn.k_norm
              """);

  /** Query, key and value are one matrix, gate and up another, in the same order in both. */
  static final GgufNames PHI3 =
      new GgufNames(
          DECODER
              + NORM_BEFORE
              + """
              blk.N.attn_qkv     model.layers.N.self_attn.qkv_proj
              blk.N.ffn_up       model.layers.N.mlp.gate_up_proj
              """);

  /** Hugging Face's name of a norm says behind what it stands; here it means another one. */
  static final GgufNames GEMMA2 =
      new GgufNames(
          DECODER
              + SPLIT
              + """
              blk.N.post_attention_norm  model.layers.N.post_attention_layernorm
              blk.N.ffn_norm             model.layers.N.pre_feedforward_layernorm
              blk.N.post_ffw_norm        model.layers.N.post_feedforward_layernorm
              """);

  static final GgufNames GPT2 =
      new GgufNames(
          """
          token_embd         wte
          position_embd      wpe
          output_norm        ln_f
          output             lm_head
          blk.N.attn_norm    h.N.ln_1
          blk.N.attn_qkv     h.N.attn.c_attn
          blk.N.attn_output  h.N.attn.c_proj
          blk.N.ffn_norm     h.N.ln_2
          blk.N.ffn_up       h.N.mlp.c_fc
          blk.N.ffn_down     h.N.mlp.c_proj
          """);

  /** The number of a layer: the first part of a name that is one. */
  private static final Pattern LAYER = Pattern.compile("\\.(0|[1-9]\\d{0,5})\\.");

  private static final Pattern SUFFIX = Pattern.compile("\\.(weight|bias)$");

  private final Map<String, String> huggingFace = new HashMap<>();
  private final Map<String, String> gguf = new HashMap<>();

  private GgufNames(String table) {
    table
        .lines()
        .map(line -> line.split(" +"))
        .forEach(pair -> {
          huggingFace.put(pair[0], pair[1]);
          gguf.put(pair[1], pair[0]);
        });
  }

  /** The Hugging Face name of a tensor; empty where the table has none. */
  Optional<String> huggingFace(String ggufTensor) {
    return translate(ggufTensor, huggingFace);
  }

  /** The name in a GGUF file; empty where the table has none. */
  Optional<String> gguf(String huggingFaceTensor) {
    return translate(huggingFaceTensor, gguf);
  }

  private static Optional<String> translate(String tensor, Map<String, String> table) {
    Matcher suffix = SUFFIX.matcher(tensor);
    if (!suffix.find()) {
      return Optional.empty();
    }
    String module = tensor.substring(0, suffix.start());
    Matcher layer = LAYER.matcher(module);
    if (!layer.find()) {
      return module.contains(".N.")
          ? Optional.empty()
          : Optional.ofNullable(table.get(module)).map(name -> name + suffix.group());
    }
    String general = module.substring(0, layer.start()) + ".N." + module.substring(layer.end());
    return Optional.ofNullable(table.get(general))
        .map(name -> name.replace(".N.", layer.group()) + suffix.group());
  }

  /** The layer that a tensor belongs to, by either name; empty where to none. */
  static OptionalInt layer(String tensor) {
    Matcher layer = LAYER.matcher(tensor);
    return layer.find() ? OptionalInt.of(Integer.parseInt(layer.group(1))) : OptionalInt.empty();
  }

  /** For tests: each module of the table with its translation. */
  Map<String, String> modules() {
    return Map.copyOf(huggingFace);
  }
}
