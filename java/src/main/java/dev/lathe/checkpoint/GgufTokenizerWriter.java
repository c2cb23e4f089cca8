package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * A {@code tokenizer.json} as the metadata of a GGUF file: the vocabulary with types, scores or
 * merges for engines that have a tokenizer of their own, and the file itself for those that read
 * it.
 */
final class GgufTokenizerWriter {
  private static final String PREFIX = GgufTokenizer.PREFIX;

  private final ObjectNode tokenizer;
  private final byte[] text;
  private final ObjectNode companion;
  private final ObjectNode config;
  private final String where;
  private String[] tokens;
  private int[] types;

  /**
   * @param text {@code tokenizer.json}
   * @param companion {@code tokenizer_config.json}, empty where there is none
   */
  GgufTokenizerWriter(byte[] text, ObjectNode companion, ObjectNode config, String where) {
    this.text = text;
    this.tokenizer = StrictJson.parseObject(text, where);
    this.companion = companion;
    this.config = config;
    this.where = where;
  }

  /**
   * @param vocabulary rows of the embedding table; ids that the tokenizer lacks are filled up
   * @return what another engine will do differently, if anything
   * @throws InvalidInputException if the tokenizer is of no kind that the format has
   */
  Optional<String> write(GgufMetadataBuilder out, int vocabulary) {
    JsonNode model = model();
    if (!model.path("type").asString("").equals("BPE") || !model.path("vocab").isObject()) {
      throw bad(
          "the model is \"%s\"; a GGUF file takes BPE".formatted(model.path("type").asString("")));
    }
    readTokens(model, vocabulary);
    List<String[]> merges = merges(model.path("merges"));
    boolean pieces = model.path("byte_fallback").asBoolean(false);
    Optional<String> note = pieces ? pieces(out, merges) : byteLevel(out, merges);
    out.strings(PREFIX + "tokens", Arrays.asList(tokens)).ints(PREFIX + "token_type", types);
    special(out, "bos", config.path("bos_token_id"));
    JsonNode end = config.path("eos_token_id");
    special(out, "eos", end.isArray() ? end.path(0) : end);
    special(out, "unknown", model.path("vocab").path(model.path("unk_token").asString("")));
    out.bool(PREFIX + "add_bos_token", addsBegin());
    JsonNode template = companion.path("chat_template");
    if (template.isString()) {
      out.string("tokenizer.chat_template", template.stringValue());
    }
    out.string(GgufTokenizer.HUGGING_FACE, new String(text, StandardCharsets.UTF_8));
    return note;
  }

  private JsonNode model() {
    return tokenizer.path("model");
  }

  private void readTokens(JsonNode model, int vocabulary) {
    tokens = new String[vocabulary];
    types = new int[vocabulary];
    Arrays.fill(types, GgufTokenizer.NORMAL);
    for (Map.Entry<String, JsonNode> entry : model.get("vocab").properties()) {
      put(entry.getKey(), entry.getValue());
    }
    boolean pieces = model.path("byte_fallback").asBoolean(false);
    for (int id = 0; pieces && id < vocabulary; id++) {
      if (tokens[id] != null && tokens[id].matches("<0x[0-9A-F]{2}>")) {
        types[id] = GgufTokenizer.BYTE;
      }
    }
    for (JsonNode added : tokenizer.path("added_tokens")) {
      int id = put(added.path("content").asString(""), added.path("id"));
      types[id] =
          added.path("special").asBoolean(false)
              ? GgufTokenizer.CONTROL
              : GgufTokenizer.USER_DEFINED;
    }
    JsonNode unknown = model.path("vocab").path(model.path("unk_token").asString(""));
    if (unknown.isInt()) {
      types[unknown.intValue()] = GgufTokenizer.UNKNOWN;
    }
    for (int id = 0; id < vocabulary; id++) {
      if (tokens[id] == null) {
        tokens[id] = "[PAD" + id + "]";
        types[id] = GgufTokenizer.UNUSED;
      }
    }
  }

  private int put(String token, JsonNode id) {
    if (!id.isInt() || id.intValue() < 0 || id.intValue() >= tokens.length) {
      throw bad(
          "token \"%s\" has the id %s; the model's vocabulary has ids from 0 to %d"
              .formatted(token, id, tokens.length - 1));
    }
    tokens[id.intValue()] = token;
    return id.intValue();
  }

  /** Merges are "left right" or [left, right]. */
  private List<String[]> merges(JsonNode list) {
    List<String[]> merges = new ArrayList<>();
    for (JsonNode merge : list) {
      String[] pair =
          merge.isArray()
              ? new String[] {merge.path(0).asString(""), merge.path(1).asString("")}
              : merge.asString("").split(" ", 2);
      if (pair.length != 2 || pair[0].isEmpty() || pair[1].isEmpty()) {
        throw bad("model.merges[%d] is %s; it must be two tokens".formatted(merges.size(), merge));
      }
      merges.add(pair);
    }
    return merges;
  }

  /** A piece's score says when it is merged: minus the place of the first merge that makes it. */
  private Optional<String> pieces(GgufMetadataBuilder out, List<String[]> merges) {
    Map<String, Integer> rankOf = new HashMap<>();
    for (int i = 0; i < merges.size(); i++) {
      rankOf.putIfAbsent(merges.get(i)[0] + merges.get(i)[1], i);
    }
    float[] scores = new float[tokens.length];
    for (int id = 0; id < scores.length; id++) {
      boolean normal = types[id] == GgufTokenizer.NORMAL;
      scores[id] = normal ? -rankOf.getOrDefault(tokens[id], merges.size() + id) : 0;
    }
    out.string(PREFIX + "model", "llama").string(PREFIX + "pre", "default");
    out.floats(PREFIX + "scores", scores).bool(PREFIX + "add_space_prefix", spaceFirst());
    Map<String, Integer> idOf = new HashMap<>();
    for (int id = 0; id < tokens.length; id++) {
      idOf.put(tokens[id], id);
    }
    Set<String> given = new HashSet<>();
    merges.forEach(merge -> given.add(merge[0] + " " + merge[1]));
    Set<String> byScore = new HashSet<>();
    new PieceMerges(Arrays.asList(tokens), types, scores, idOf, where)
        .forEach((left, right) -> byScore.add(tokens[left] + " " + tokens[right]));
    return byScore.equals(given)
        ? Optional.empty()
        : Optional.of(
            "this tokenizer's merges do not follow from scores: an engine that does not read tokenizer.huggingface.json may split some texts differently");
  }

  private boolean spaceFirst() {
    boolean prepends =
        tokenizer.path("normalizer").toString().contains("\"Prepend\"")
            || tokenizer.path("pre_tokenizer").toString().contains("\"Metaspace\"");
    return prepends
        && !tokenizer.path("pre_tokenizer").path("prepend_scheme").asString("").equals("never");
  }

  private Optional<String> byteLevel(GgufMetadataBuilder out, List<String[]> merges) {
    // Where nothing merges, every byte is a token, however the text was split before.
    boolean nothingMerges = merges.isEmpty() && !model().path("ignore_merges").asBoolean(false);
    GgufPreTokenizer splitter =
        (nothingMerges ? Optional.of(GgufPreTokenizer.GPT_2) : GgufPreTokenizer.of(tokenizer))
            .orElseThrow(() ->
                bad(
                    "its way to split text before merging has no name in a GGUF file that this version knows; known are "
                        + GgufPreTokenizer.names()));
    out.string(PREFIX + "model", "gpt2").string(PREFIX + "pre", splitter.ggufName());
    out.strings(
        PREFIX + "merges", merges.stream().map(merge -> merge[0] + " " + merge[1]).toList());
    return Optional.empty();
  }

  private void special(GgufMetadataBuilder out, String name, JsonNode id) {
    if (id.isIntegralNumber() && id.asLong() >= 0 && id.asLong() < tokens.length) {
      out.u32(PREFIX + name + "_token_id", id.asLong());
    }
  }

  private boolean addsBegin() {
    JsonNode flag = companion.path("add_bos_token");
    return flag.isBoolean()
        ? flag.booleanValue()
        : tokenizer.path("post_processor").toString().contains("\"SpecialToken\"");
  }

  private InvalidInputException bad(String what) {
    return new InvalidInputException(where + ": " + what);
  }
}
