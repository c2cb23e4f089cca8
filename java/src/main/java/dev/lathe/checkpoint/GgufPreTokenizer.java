package dev.lathe.checkpoint;

import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a byte-level BPE splits a text before it merges, by the names of {@code tokenizer.ggml.pre}:
 * the expressions are those in the {@code tokenizer.json} of the models.
 */
enum GgufPreTokenizer {
  /** GPT-2's own split, which the library has built in. */
  GPT_2("gpt-2 gpt2", null, false, false),

  /** Llama 3: numbers in threes; a whole word that is a token is taken as it is. */
  LLAMA_3(
      "llama-bpe llama3 llama-v3",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
          + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      true,
      false),

  /** Qwen 2 to 3: digits one by one; characters are composed (NFC) first. */
  QWEN_2(
      "qwen2",
      "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
          + " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
      false,
      true);

  /** What files from before the key mean: the tokenizer's own name. */
  static final String GPT2 = "gpt-2";

  /** What files call it, our own choice first. */
  private final String names;

  private final String expression;
  private final boolean ignoresMerges;
  private final boolean composes;

  GgufPreTokenizer(String names, String expression, boolean ignoresMerges, boolean composes) {
    this.names = names;
    this.expression = expression;
    this.ignoresMerges = ignoresMerges;
    this.composes = composes;
  }

  private List<String> nameList() {
    return List.of(names.split(" "));
  }

  static Optional<GgufPreTokenizer> named(String name) {
    return Arrays.stream(values()).filter(p -> p.nameList().contains(name)).findFirst();
  }

  /** The one that a {@code tokenizer.json} describes. */
  static Optional<GgufPreTokenizer> of(ObjectNode tokenizer) {
    return Arrays.stream(values())
        .filter(pre -> {
          ObjectNode written = StrictJson.mapper().createObjectNode();
          pre.write(written);
          return sameSplit(tokenizer.path("pre_tokenizer"), written.path("pre_tokenizer"))
              && sameNormalizer(tokenizer.path("normalizer"), written.path("normalizer"));
        })
        .findFirst();
  }

  /** The same expression before bytes, however the defaults are spelled out. */
  private static boolean sameSplit(JsonNode one, JsonNode other) {
    return expression(one).equals(expression(other))
        && steps(one).equals(steps(other))
        && !adds(one)
        && splitsItself(one) == splitsItself(other);
  }

  private static boolean sameNormalizer(JsonNode one, JsonNode other) {
    return one.path("type").asString("").equals(other.path("type").asString(""));
  }

  private static List<String> steps(JsonNode node) {
    JsonNode inner = node.path("pretokenizers");
    return inner.isArray()
        ? inner.values().stream().map(step -> step.path("type").asString("")).toList()
        : List.of(node.path("type").asString(""));
  }

  private static String expression(JsonNode node) {
    return node.path("pretokenizers").path(0).path("pattern").path("Regex").asString("");
  }

  private static JsonNode byteLevel(JsonNode node) {
    JsonNode inner = node.path("pretokenizers");
    return inner.isArray() ? inner.path(inner.size() - 1) : node;
  }

  private static boolean adds(JsonNode node) {
    return byteLevel(node).path("add_prefix_space").asBoolean(true);
  }

  private static boolean splitsItself(JsonNode node) {
    return byteLevel(node).path("use_regex").asBoolean(true);
  }

  static boolean wantsBegin(String name) {
    return LLAMA_3.nameList().contains(name);
  }

  static String names() {
    return Arrays.stream(values())
        .flatMap(pre -> pre.nameList().stream())
        .collect(Collectors.joining(", "));
  }

  /** What a file is given as {@code tokenizer.ggml.pre}. */
  String ggufName() {
    return nameList().getFirst();
  }

  boolean ignoresMerges() {
    return ignoresMerges;
  }

  /** Normalizer and pre-tokenizer of a {@code tokenizer.json}. */
  void write(ObjectNode root) {
    if (composes) {
      root.putObject("normalizer").put("type", "NFC");
    } else {
      root.putNull("normalizer");
    }
    ObjectNode pre = root.putObject("pre_tokenizer");
    if (expression == null) {
      byteLevel(pre, true);
      return;
    }
    ArrayNode steps = pre.put("type", "Sequence").putArray("pretokenizers");
    ObjectNode split = steps.addObject().put("type", "Split");
    split.putObject("pattern").put("Regex", expression);
    split.put("behavior", "Isolated").put("invert", false);
    byteLevel(steps.addObject(), false);
  }

  /** Text as the characters that stand for its bytes, or, as a decoder, back. */
  static void byteLevel(ObjectNode node, boolean splits) {
    node.put("type", "ByteLevel")
        .put("add_prefix_space", false)
        .put("trim_offsets", true)
        .put("use_regex", splits);
  }
}
