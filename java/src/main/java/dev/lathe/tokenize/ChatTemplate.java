package dev.lathe.tokenize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.error.InvalidInputException;
import dev.lathe.tokenize.jinja.Template;
import dev.lathe.tokenize.jinja.TemplateException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a model was taught that a conversation is written down: the Jinja template that came with its
 * tokenizer, rendered as {@code apply_chat_template} of Hugging Face renders it. The template gets
 * {@code messages}, {@code add_generation_prompt}, {@code tools} and {@code documents} (none), and
 * the tokenizer's special tokens by their names.
 *
 * <p>The rendered text has the special tokens in it and is encoded as it is, without a
 * beginning-of-sequence token beside what the template wrote. As everywhere, a message that holds
 * the text of a special token becomes that token.
 *
 * @see <a href="https://huggingface.co/docs/transformers/chat_templating">chat templates</a>
 */
public final class ChatTemplate {
  private static final String FILE = "chat_template.jinja";
  private static final String KEY = "chat_template";
  private static final String TOKENIZER_CONFIG = "tokenizer_config.json";
  private static final String SPECIAL_TOKENS_MAP = "special_tokens_map.json";
  private static final List<String> SPECIAL_TOKENS =
      List.of(
          "bos_token",
          "eos_token",
          "unk_token",
          "sep_token",
          "pad_token",
          "cls_token",
          "mask_token",
          "additional_special_tokens");

  /** What one side says. */
  public record Message(String role, String content) {}

  private final Template template;
  private final Map<String, Object> specialTokens;
  private final String where;

  private ChatTemplate(Template template, Map<String, Object> specialTokens, String where) {
    this.template = template;
    this.specialTokens = specialTokens;
    this.where = where;
  }

  /**
   * The template that came with a checkpoint: {@code chat_template.jinja}, or else {@code
   * chat_template} in {@code tokenizer_config.json}, of several the one named {@code default}.
   *
   * @return empty where there is none
   * @throws InvalidInputException if it is no template, or uses what is not rendered here; names
   *     the file and the line
   */
  public static Optional<ChatTemplate> find(Checkpoint checkpoint) {
    ObjectNode config = object(checkpoint, TOKENIZER_CONFIG);
    ObjectNode map = object(checkpoint, SPECIAL_TOKENS_MAP);
    Map<String, Object> tokens = new LinkedHashMap<>();
    for (String name : SPECIAL_TOKENS) {
      JsonNode value = config.has(name) ? config.get(name) : map.path(name);
      specialToken(value).ifPresent(token -> tokens.put(name, token));
    }
    Optional<byte[]> file = checkpoint.content(FILE);
    if (file.isPresent()) {
      String where = place(checkpoint, FILE);
      return Optional.of(parse(utf8(file.get(), where), tokens, where));
    }
    String where = place(checkpoint, TOKENIZER_CONFIG);
    JsonNode given = config.path(KEY);
    return given.isMissingNode() || given.isNull()
        ? Optional.empty()
        : Optional.of(parse(text(given, where), tokens, where));
  }

  private static ObjectNode object(Checkpoint checkpoint, String name) {
    return checkpoint
        .content(name)
        .map(bytes -> StrictJson.parseObject(bytes, place(checkpoint, name)))
        .orElseGet(() -> StrictJson.mapper().createObjectNode());
  }

  private static String place(Checkpoint checkpoint, String name) {
    return checkpoint.file(name).map(Path::toString).orElse(checkpoint.path() + ": " + name);
  }

  private static String utf8(byte[] bytes, String where) {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
    } catch (CharacterCodingException e) {
      throw new InvalidInputException(where + " is no valid UTF-8", e);
    }
  }

  /** A text, or an object that has it as its content, or a list of either. */
  private static Optional<Object> specialToken(JsonNode value) {
    if (value.isArray()) {
      List<Object> several = new ArrayList<>();
      value.forEach(one -> specialToken(one).ifPresent(several::add));
      return Optional.of(several);
    }
    JsonNode text = value.isObject() ? value.path("content") : value;
    return text.isString() ? Optional.of(text.stringValue()) : Optional.empty();
  }

  /** The template's text: a string, or the default of a list of named ones. */
  private static String text(JsonNode given, String where) {
    if (given.isString()) {
      return given.stringValue();
    }
    List<String> names = new ArrayList<>();
    for (JsonNode one : given.isArray() ? given : StrictJson.mapper().createArrayNode()) {
      String name = one.path("name").asString("");
      JsonNode template = one.path("template");
      if (name.equals("default") && template.isString()) {
        return template.stringValue();
      }
      names.add(name);
    }
    throw new InvalidInputException(
        "%s: %s must be a text, or a list of {\"name\", \"template\"} with one named \"default\"; %s"
            .formatted(
                where, KEY, given.isArray() ? "it has " + names : "it is " + given.getNodeType()));
  }

  /**
   * As {@link #find}, of a template that lies in no checkpoint.
   *
   * @param specialTokens by name: texts, or lists of them
   * @param where what messages call it
   */
  static ChatTemplate parse(String template, Map<String, Object> specialTokens, String where) {
    try {
      return new ChatTemplate(Template.parse(template), specialTokens, where);
    } catch (TemplateException e) {
      throw invalid(e, where);
    }
  }

  /**
   * The conversation as the model expects it.
   *
   * @param forAnswer whether the beginning of an answer follows, which the model is to go on with
   * @throws InvalidInputException if the template fails, refuses the messages (a role that it does
   *     not have), or takes more than a template may; names the file and the line
   */
  public String render(List<Message> messages, boolean forAnswer) {
    return render(messages, forAnswer, LocalDateTime.now(java.time.ZoneId.systemDefault()));
  }

  /**
   * @param now what the template is told that the time is
   */
  String render(List<Message> messages, boolean forAnswer, LocalDateTime now) {
    List<Object> said = new ArrayList<>();
    for (Message message : messages) {
      Map<Object, Object> one = new LinkedHashMap<>();
      one.put("role", message.role());
      one.put("content", message.content());
      said.add(one);
    }
    Map<String, Object> values = new LinkedHashMap<>(specialTokens);
    values.put("messages", said);
    values.put("tools", null);
    values.put("documents", null);
    values.put("add_generation_prompt", forAnswer);
    try {
      return template.render(values, now);
    } catch (TemplateException e) {
      throw invalid(e, where);
    }
  }

  private static InvalidInputException invalid(TemplateException e, String where) {
    String line = e.line() == 0 ? "" : ", line " + e.line();
    return new InvalidInputException(
        e.isRaised()
            ? "%s: the chat template%s refuses these messages: %s"
                .formatted(where, line, e.getMessage())
            : "%s: the chat template%s: %s".formatted(where, line, e.getMessage()),
        e);
  }
}
