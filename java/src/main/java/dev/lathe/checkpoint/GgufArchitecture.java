package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a GGUF file calls the parts of a model, and what Hugging Face calls them: one constant for
 * each architecture. A further one is a line here.
 *
 * <p>Rotary embedding turns pairs of elements. GGUF's {@code llama} pairs neighbours (0 with 1, 2
 * with 3), Hugging Face's the first half of a head with the second; so the rows of the query and
 * key matrices of that architecture lie in another order. The others pair as Hugging Face does.
 */
enum GgufArchitecture {
  LLAMA("llama", "LlamaForCausalLM", "llama", true),
  QWEN2("qwen2", "Qwen2ForCausalLM", "qwen2", false),
  QWEN3("qwen3", "Qwen3ForCausalLM", "qwen3", false);

  /** The same for all of them; an architecture that lacks a part just never has the tensor. */
  private static final Map<String, String> MODULES =
      Map.ofEntries(
          Map.entry("token_embd", "model.embed_tokens"),
          Map.entry("output_norm", "model.norm"),
          Map.entry("output", "lm_head"),
          Map.entry("blk.N.attn_norm", "model.layers.N.input_layernorm"),
          Map.entry("blk.N.attn_q", "model.layers.N.self_attn.q_proj"),
          Map.entry("blk.N.attn_k", "model.layers.N.self_attn.k_proj"),
          Map.entry("blk.N.attn_v", "model.layers.N.self_attn.v_proj"),
          Map.entry("blk.N.attn_output", "model.layers.N.self_attn.o_proj"),
          Map.entry("blk.N.attn_q_norm", "model.layers.N.self_attn.q_norm"),
          Map.entry("blk.N.attn_k_norm", "model.layers.N.self_attn.k_norm"),
          Map.entry("blk.N.ffn_norm", "model.layers.N.post_attention_layernorm"),
          Map.entry("blk.N.ffn_gate", "model.layers.N.mlp.gate_proj"),
          Map.entry("blk.N.ffn_up", "model.layers.N.mlp.up_proj"),
          Map.entry("blk.N.ffn_down", "model.layers.N.mlp.down_proj"));

  private static final Map<String, String> MODULES_BACK =
      MODULES.entrySet().stream().collect(Collectors.toMap(Map.Entry::getValue, Map.Entry::getKey));

  private static final Pattern LAYER =
      Pattern.compile("(blk|model\\.layers)\\.(0|[1-9]\\d{0,5})\\.");
  private static final Pattern SUFFIX = Pattern.compile("\\.(weight|bias)$");

  private final String ggufName;
  private final String className;
  private final String modelType;
  private final boolean pairsNeighbours;

  GgufArchitecture(String ggufName, String className, String modelType, boolean pairsNeighbours) {
    this.ggufName = ggufName;
    this.className = className;
    this.modelType = modelType;
    this.pairsNeighbours = pairsNeighbours;
  }

  /** {@code general.architecture}, and the prefix of the metadata keys. */
  String ggufName() {
    return ggufName;
  }

  /** {@code architectures} of {@code config.json}. */
  String className() {
    return className;
  }

  String modelType() {
    return modelType;
  }

  /** Which rows of a module lie in the order of {@link GgufRows}: none, queries, or keys. */
  boolean isRotated(String huggingFaceTensor) {
    return pairsNeighbours && (isQuery(huggingFaceTensor) || isKey(huggingFaceTensor));
  }

  /** True where a file may have {@link GgufRope#TENSOR}. */
  boolean hasRopeFactors() {
    return this == LLAMA;
  }

  static boolean isQuery(String huggingFaceTensor) {
    return huggingFaceTensor.contains(".q_proj.");
  }

  private static boolean isKey(String huggingFaceTensor) {
    return huggingFaceTensor.contains(".k_proj.");
  }

  /** The architecture of a file. */
  static GgufArchitecture of(GgufMetadata metadata, String where) {
    String name =
        metadata
            .string("general.architecture")
            .orElseThrow(
                () -> new InvalidInputException(where + ": general.architecture is missing"));
    return Arrays.stream(values())
        .filter(architecture -> architecture.ggufName.equals(name))
        .findFirst()
        .orElseThrow(() ->
            new InvalidInputException(
                "%s: general.architecture \"%s\" is not known; known are %s"
                    .formatted(where, name, names())));
  }

  /** The architecture of a {@code config.json}. */
  static GgufArchitecture of(ObjectNode config, String where) {
    JsonNode listed = config.path("architectures").path(0);
    String name = listed.isString() ? listed.stringValue() : config.path("model_type").asString("");
    return Arrays.stream(values())
        .filter(a -> a.className.equals(name) || a.modelType.equals(name))
        .findFirst()
        .orElseThrow(() ->
            new InvalidInputException(
                "%s: architecture \"%s\" cannot be written as GGUF by this version; it writes %s"
                    .formatted(where, name, names())));
  }

  private static String names() {
    return Arrays.stream(values()).map(a -> a.ggufName).collect(Collectors.joining(", "));
  }

  /** The Hugging Face name of a tensor; empty where the table has none. */
  static Optional<String> huggingFace(String ggufTensor) {
    return translate(ggufTensor, MODULES, "blk", "model.layers");
  }

  /** The name in a GGUF file; empty where the table has none. */
  static Optional<String> gguf(String huggingFaceTensor) {
    return translate(huggingFaceTensor, MODULES_BACK, "model.layers", "blk");
  }

  private static Optional<String> translate(
      String tensor, Map<String, String> table, String from, String to) {
    Matcher suffix = SUFFIX.matcher(tensor);
    if (!suffix.find()) {
      return Optional.empty();
    }
    String module = tensor.substring(0, suffix.start());
    Matcher layer = LAYER.matcher(module);
    boolean inLayer = layer.lookingAt() && layer.group(1).equals(from);
    String general = inLayer ? from + ".N." + module.substring(layer.end()) : module;
    return Optional.ofNullable(table.get(general))
        .map(name ->
            (inLayer ? name.replace(to + ".N.", to + "." + layer.group(2) + ".") : name)
                + suffix.group());
  }

  /** The layer that a Hugging Face name belongs to; empty where to none. */
  static Optional<Integer> layer(String huggingFaceTensor) {
    Matcher layer = LAYER.matcher(huggingFaceTensor);
    return layer.lookingAt() ? Optional.of(Integer.valueOf(layer.group(2))) : Optional.empty();
  }

  /** For tests: each name of the table with its translation. */
  static Map<String, String> modules() {
    return new LinkedHashMap<>(MODULES);
  }
}
