package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The tokenizer of a GGUF file as the {@code tokenizer.json} and {@code tokenizer_config.json} that
 * Hugging Face's library reads. Where the file brings its {@code tokenizer.json} along ({@code
 * tokenizer.huggingface.json}), that is it; else it follows from the vocabulary:
 *
 * <ul>
 *   <li>{@code llama}: pieces with scores, as SentencePiece trains them; two neighbours merge if
 *       together they are a piece, the highest score first, and what is no piece becomes bytes
 *   <li>{@code gpt2}: byte-level BPE with a list of merges, after a split by {@link
 *       GgufPreTokenizer}
 * </ul>
 */
final class GgufTokenizer {
  static final String PREFIX = "tokenizer.ggml.";
  static final String HUGGING_FACE = "tokenizer.huggingface.json";

  /** What {@code tokenizer.ggml.model} is in a file without a tokenizer, our own choice first. */
  private static final List<String> NONE = List.of("no_vocab", "none");

  /** {@code token_type} of the format. */
  static final int NORMAL = 1;

  static final int UNKNOWN = 2;
  static final int CONTROL = 3;
  static final int USER_DEFINED = 4;
  static final int UNUSED = 5;
  static final int BYTE = 6;

  /** The space of pieces. */
  static final String SPACE = "\u2581";

  private final GgufMetadata metadata;
  private final String where;

  GgufTokenizer(GgufMetadata metadata, String where) {
    this.metadata = metadata;
    this.where = where;
  }

  /** Says that there is no tokenizer, so that engines do not take the file for a broken one. */
  static void writeNone(GgufMetadataBuilder out) {
    out.string(PREFIX + "model", NONE.getFirst());
  }

  private Optional<String> model() {
    return metadata.string(PREFIX + "model").filter(model -> !NONE.contains(model));
  }

  /** {@code tokenizer.json}; empty where the file has no tokenizer. */
  Optional<byte[]> json() {
    Optional<String> whole = metadata.string(HUGGING_FACE);
    Optional<String> model = model();
    if (whole.isPresent() || model.isEmpty()) {
      return whole.map(text -> text.getBytes(java.nio.charset.StandardCharsets.UTF_8));
    }
    List<String> tokens =
        metadata
            .strings(PREFIX + "tokens")
            .orElseThrow(() -> bad(PREFIX + "tokens is missing; a tokenizer has them"));
    Map<String, Integer> idOf = idOf(tokens);
    int[] types = types(tokens.size());
    ObjectNode root = StrictJson.mapper().createObjectNode();
    root.put("version", "1.0").putNull("truncation").putNull("padding");
    addedTokens(root.putArray("added_tokens"), tokens, types);
    switch (model.get()) {
      case "llama" -> llama(root, tokens, types, idOf);
      case "gpt2" -> gpt2(root, idOf);
      default ->
          throw bad("%smodel is \"%s\"; Lathe reads llama and gpt2".formatted(PREFIX, model.get()));
    }
    ObjectNode vocabulary = ((ObjectNode) root.get("model")).putObject("vocab");
    for (int id = 0; id < tokens.size(); id++) {
      vocabulary.put(tokens.get(id), id);
    }
    return Optional.of(StrictJson.mapper().writeValueAsBytes(root));
  }

  /** {@code tokenizer_config.json}: which tokens begin and end, and the chat template. */
  Optional<byte[]> config() {
    Optional<String> model = model();
    if (model.isEmpty()) {
      return Optional.empty();
    }
    ObjectNode config = StrictJson.mapper().createObjectNode();
    config.put("add_bos_token", addsBegin(model.get()));
    metadata.flag(PREFIX + "add_eos_token").ifPresent(adds -> config.put("add_eos_token", adds));
    List<String> tokens = metadata.strings(PREFIX + "tokens").orElse(List.of());
    for (String name : List.of("bos", "eos", "unknown")) {
      OptionalLong id = id(name, tokens.size());
      id.ifPresent(value ->
          config.put((name.equals("unknown") ? "unk" : name) + "_token", tokens.get((int) value)));
    }
    metadata
        .string("tokenizer.chat_template")
        .ifPresent(template -> config.put("chat_template", template));
    return Optional.of(
        StrictJson.mapper().writerWithDefaultPrettyPrinter().writeValueAsBytes(config));
  }

  /** Where a file does not say, a model of pieces wants a beginning, one of merges none. */
  private boolean addsBegin(String model) {
    boolean otherwise = model.equals("llama") || GgufPreTokenizer.wantsBegin(pre());
    return metadata.flag(PREFIX + "add_bos_token").orElse(otherwise)
        && metadata.token(PREFIX + "bos_token_id").isPresent();
  }

  private Map<String, Integer> idOf(List<String> tokens) {
    Map<String, Integer> idOf = new HashMap<>();
    for (int id = 0; id < tokens.size(); id++) {
      Integer before = idOf.put(tokens.get(id), id);
      if (before != null) {
        throw bad(
            "%stokens has \"%s\" twice, at %d and %d"
                .formatted(PREFIX, tokens.get(id), before, id));
      }
    }
    if (tokens.isEmpty()) {
      throw bad(PREFIX + "tokens is empty; a vocabulary has at least one token");
    }
    return idOf;
  }

  private int[] types(int count) {
    long[] given =
        metadata
            .integers(PREFIX + "token_type")
            .orElseGet(() -> {
              long[] normal = new long[count];
              Arrays.fill(normal, NORMAL);
              return normal;
            });
    requireCount("token_type", given.length, count);
    int[] types = new int[count];
    for (int i = 0; i < count; i++) {
      if (given[i] < NORMAL || given[i] > BYTE) {
        throw bad("%stoken_type[%d] is %d; types go from 1 to 6".formatted(PREFIX, i, given[i]));
      }
      types[i] = (int) given[i];
    }
    return types;
  }

  private void requireCount(String key, long count, int tokens) {
    if (count != tokens) {
      throw bad(
          "%s%s has %d elements, but there are %d tokens".formatted(PREFIX, key, count, tokens));
    }
  }

  private static void addedTokens(ArrayNode added, List<String> tokens, int[] types) {
    for (int id = 0; id < types.length; id++) {
      boolean special = types[id] == CONTROL || types[id] == UNKNOWN;
      if ((special || types[id] == USER_DEFINED) && !tokens.get(id).isEmpty()) {
        added
            .addObject()
            .put("id", id)
            .put("content", tokens.get(id))
            .put("single_word", false)
            .put("lstrip", false)
            .put("rstrip", false)
            .put("normalized", false)
            .put("special", special);
      }
    }
  }

  private void llama(ObjectNode root, List<String> tokens, int[] types, Map<String, Integer> idOf) {
    float[] scores =
        metadata
            .floats(PREFIX + "scores")
            .orElseThrow(() -> bad(PREFIX + "scores is missing; pieces are merged by them"));
    requireCount("scores", scores.length, tokens.size());
    boolean spaceFirst = metadata.flag(PREFIX + "add_space_prefix").orElse(true);
    ArrayNode normalizers =
        root.putObject("normalizer").put("type", "Sequence").putArray("normalizers");
    if (spaceFirst) {
      normalizers.addObject().put("type", "Prepend").put("prepend", SPACE);
    }
    replace(normalizers.addObject(), " ", SPACE);
    root.putNull("pre_tokenizer");
    postProcessor(root, tokens, "llama");
    ArrayNode decoders = root.putObject("decoder").put("type", "Sequence").putArray("decoders");
    replace(decoders.addObject(), SPACE, " ");
    decoders.addObject().put("type", "ByteFallback");
    decoders.addObject().put("type", "Fuse");
    if (spaceFirst) {
      decoders.addObject().put("type", "Strip").put("content", " ").put("start", 1).put("stop", 0);
    }
    ObjectNode model = model(root);
    OptionalLong unknown = id("unknown", tokens.size());
    unknown.ifPresent(id -> model.put("unk_token", tokens.get((int) id)));
    model.put("fuse_unk", true).put("byte_fallback", true).put("ignore_merges", false);
    ArrayNode merges = model.putArray("merges");
    new PieceMerges(tokens, types, scores, idOf, where)
        .forEach((left, right) -> merges.add(tokens.get(left) + " " + tokens.get(right)));
  }

  private static void replace(ObjectNode node, String from, String to) {
    node.put("type", "Replace").putObject("pattern").put("String", from);
    node.put("content", to);
  }

  private void gpt2(ObjectNode root, Map<String, Integer> idOf) {
    List<String> merges =
        metadata
            .strings(PREFIX + "merges")
            .orElseThrow(() -> bad(PREFIX + "merges is missing; byte-level BPE has them"));
    String pre = pre();
    GgufPreTokenizer splitter =
        GgufPreTokenizer.named(pre)
            .orElseThrow(() ->
                bad(
                    "%spre is \"%s\", a way to split text that is not known; known are %s"
                        .formatted(PREFIX, pre, GgufPreTokenizer.names())));
    splitter.write(root);
    postProcessor(root, null, "gpt2");
    GgufPreTokenizer.byteLevel(root.putObject("decoder"), true);
    ObjectNode model = model(root);
    model.put("fuse_unk", false).put("byte_fallback", false);
    model.put("ignore_merges", splitter.ignoresMerges());
    ArrayNode list = model.putArray("merges");
    for (int i = 0; i < merges.size(); i++) {
      String merge = merges.get(i);
      int space = merge.indexOf(' ', 1);
      boolean pieces =
          space > 0
              && idOf.containsKey(merge.substring(0, space))
              && idOf.containsKey(merge.substring(space + 1))
              && idOf.containsKey(merge.substring(0, space) + merge.substring(space + 1));
      if (!pieces) {
        throw bad(
            "%smerges[%d] is \"%s\"; it must be two tokens with a space between, which together are a token"
                .formatted(PREFIX, i, merge));
      }
      list.add(merge);
    }
  }

  private String pre() {
    return metadata.string(PREFIX + "pre").orElse(GgufPreTokenizer.GPT2);
  }

  private static ObjectNode model(ObjectNode root) {
    ObjectNode model = root.putObject("model").put("type", "BPE");
    model.putNull("dropout").putNull("unk_token");
    model.putNull("continuing_subword_prefix").putNull("end_of_word_suffix");
    return model;
  }

  /** The token that begins a sequence, before the text. */
  private void postProcessor(ObjectNode root, List<String> tokensOrNull, String model) {
    List<String> tokens =
        tokensOrNull == null ? metadata.strings(PREFIX + "tokens").orElseThrow() : tokensOrNull;
    OptionalLong begin = id("bos", tokens.size());
    if (begin.isEmpty() || !addsBegin(model)) {
      root.putNull("post_processor");
      return;
    }
    String text = tokens.get((int) begin.getAsLong());
    ObjectNode template = root.putObject("post_processor").put("type", "TemplateProcessing");
    ArrayNode single = template.putArray("single");
    special(single, text, 0);
    sequence(single, "A", 0);
    ArrayNode pair = template.putArray("pair");
    special(pair, text, 0);
    sequence(pair, "A", 0);
    special(pair, text, 1);
    sequence(pair, "B", 1);
    ObjectNode described = template.putObject("special_tokens").putObject(text).put("id", text);
    described.putArray("ids").add(begin.getAsLong());
    described.putArray("tokens").add(text);
  }

  private static void special(ArrayNode list, String text, int type) {
    list.addObject().putObject("SpecialToken").put("id", text).put("type_id", type);
  }

  private static void sequence(ArrayNode list, String name, int type) {
    list.addObject().putObject("Sequence").put("id", name).put("type_id", type);
  }

  private OptionalLong id(String name, int tokens) {
    OptionalLong id = metadata.token(PREFIX + name + "_token_id");
    if (id.isPresent() && id.getAsLong() >= tokens) {
      throw bad(
          "%s%s_token_id is %d, but there are %d tokens"
              .formatted(PREFIX, name, id.getAsLong(), tokens));
    }
    return id;
  }

  private InvalidInputException bad(String what) {
    return new InvalidInputException(where + ": " + what);
  }
}
