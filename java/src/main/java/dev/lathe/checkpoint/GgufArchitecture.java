package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The architectures of GGUF files: what each is called, its names, and what of its tensors lies
 * there otherwise than in Hugging Face's files.
 */
@SuppressWarnings("ImmutableEnumChecker") // the names are never changed
enum GgufArchitecture {
  LLAMA("llama", "LlamaForCausalLM", "llama", GgufNames.LLAMA),

  /** Llama with a window: the format has no other name for it. */
  MISTRAL("llama", "MistralForCausalLM", "mistral", GgufNames.LLAMA),
  QWEN2("qwen2", "Qwen2ForCausalLM", "qwen2", GgufNames.LLAMA),
  QWEN3("qwen3", "Qwen3ForCausalLM", "qwen3", GgufNames.QWEN3),
  PHI3("phi3", "Phi3ForCausalLM", "phi3", GgufNames.PHI3),
  GEMMA2("gemma2", "Gemma2ForCausalLM", "gemma2", GgufNames.GEMMA2),
  GPT2("gpt2", "GPT2LMHeadModel", "gpt2", GgufNames.GPT2);

  /** How a tensor differs from the one that Hugging Face has. */
  enum Change {
    NONE,

    /**
     * Rotary embedding turns pairs of elements. Here neighbours are paired (0 with 1, 2 with 3),
     * there the first half of a head with the second: {@link GgufRows}.
     */
    ROWS,

    /** [outputs, inputs] here, [inputs, outputs] there. */
    TRANSPOSED,

    /** A norm multiplies by the stored number here, by 1 more than that there. */
    PLUS_ONE
  }

  private final String ggufName;
  private final String className;
  private final String modelType;
  private final GgufNames names;

  GgufArchitecture(String ggufName, String className, String modelType, GgufNames names) {
    this.ggufName = ggufName;
    this.className = className;
    this.modelType = modelType;
    this.names = names;
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

  GgufNames names() {
    return names;
  }

  /** A metadata key of the architecture. */
  String key(String rest) {
    return ggufName + "." + rest;
  }

  /** What a tensor, or part of a module, is done to on its way. */
  Change change(String huggingFaceTensor) {
    return switch (this) {
      case LLAMA, MISTRAL ->
          huggingFaceTensor.contains(".q_proj.") || huggingFaceTensor.contains(".k_proj.")
              ? Change.ROWS
              : Change.NONE;
      case GEMMA2 -> huggingFaceTensor.endsWith("norm.weight") ? Change.PLUS_ONE : Change.NONE;
      case GPT2 ->
          huggingFaceTensor.matches(".*\\.c_(attn|proj|fc)\\.weight")
              ? Change.TRANSPOSED
              : Change.NONE;
      case QWEN2, QWEN3, PHI3 -> Change.NONE;
    };
  }

  /** True where rows of query and key are exchanged. */
  boolean pairsNeighbours() {
    return this == LLAMA || this == MISTRAL;
  }

  /** True where a file may have {@link GgufRope#TENSOR}. */
  boolean hasRopeFactors() {
    return this == LLAMA || this == MISTRAL;
  }

  /** A tensor's name without what some files put before it. */
  String bare(String huggingFaceTensor) {
    String prefix = "transformer.";
    return this == GPT2 && huggingFaceTensor.startsWith(prefix)
        ? huggingFaceTensor.substring(prefix.length())
        : huggingFaceTensor;
  }

  /** True for a buffer of old checkpoints that follows from the configuration. */
  boolean isDerived(String huggingFaceTensor) {
    return this == GPT2
        ? huggingFaceTensor.endsWith(".attn.bias") || huggingFaceTensor.endsWith(".masked_bias")
        : huggingFaceTensor.endsWith(".rotary_emb.inv_freq");
  }

  /** The architecture of a file. */
  static GgufArchitecture of(GgufMetadata metadata, String where) {
    String name =
        metadata
            .string("general.architecture")
            .orElseThrow(
                () -> new InvalidInputException(where + ": general.architecture is missing"));
    GgufArchitecture found =
        Arrays.stream(values())
            .filter(architecture -> architecture.ggufName.equals(name))
            .findFirst()
            .orElseThrow(() ->
                new InvalidInputException(
                    "%s: general.architecture \"%s\" is not known; known are %s"
                        .formatted(where, name, known())));
    return found == LLAMA && metadata.integer(LLAMA.key(GgufWindow.SIZE)).orElse(0) > 0
        ? MISTRAL
        : found;
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
                    .formatted(
                        where,
                        name,
                        Arrays.stream(values())
                            .map(a -> a.className)
                            .collect(Collectors.joining(", ")))));
  }

  private static String known() {
    return Arrays.stream(values())
        .map(a -> a.ggufName)
        .distinct()
        .collect(Collectors.joining(", "));
  }
}
