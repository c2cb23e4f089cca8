package dev.lathe.checkpoint;

import java.io.StringWriter;
import tools.jackson.core.JsonGenerator;

/**
 * A {@code tokenizer.json} for models that never saw text: byte-level BPE without merges. Ids 0 to
 * 255 are the bytes, the rest fills the vocabulary, and the last two begin and end a sequence.
 */
final class ByteLevelTokenizer {
  private static final int BYTES = 256;

  private ByteLevelTokenizer() {}

  /**
   * The file's text.
   *
   * @param vocabulary at least 258
   */
  static String json(int vocabulary) {
    int begin = vocabulary - 2;
    int end = vocabulary - 1;
    StringWriter text = new StringWriter();
    try (JsonGenerator json = StrictJson.mapper().createGenerator(text)) {
      json.writeStartObject();
      json.writeStringProperty("version", "1.0");
      json.writeArrayPropertyStart("added_tokens");
      special(json, begin, "<|begin|>");
      special(json, end, "<|end|>");
      json.writeEndArray();
      json.writeNullProperty("normalizer");
      byteLevel(json, "pre_tokenizer");
      json.writeNullProperty("post_processor");
      byteLevel(json, "decoder");
      json.writeObjectPropertyStart("model");
      json.writeStringProperty("type", "BPE");
      json.writeObjectPropertyStart("vocab");
      for (int id = 0; id < BYTES; id++) {
        json.writeNumberProperty(String.valueOf(letter(id)), id);
      }
      for (int id = BYTES; id < begin; id++) {
        json.writeNumberProperty("<|" + id + "|>", id);
      }
      json.writeEndObject();
      json.writeArrayPropertyStart("merges");
      json.writeEndArray();
      json.writeEndObject();
      json.writeEndObject();
    }
    return text.toString();
  }

  private static void special(JsonGenerator json, int id, String content) {
    json.writeStartObject();
    json.writeNumberProperty("id", id);
    json.writeStringProperty("content", content);
    for (String flag : new String[] {"single_word", "lstrip", "rstrip", "normalized"}) {
      json.writeBooleanProperty(flag, false);
    }
    json.writeBooleanProperty("special", true);
    json.writeEndObject();
  }

  private static void byteLevel(JsonGenerator json, String property) {
    json.writeObjectPropertyStart(property);
    json.writeStringProperty("type", "ByteLevel");
    json.writeBooleanProperty("add_prefix_space", false);
    json.writeBooleanProperty("trim_offsets", true);
    json.writeBooleanProperty("use_regex", false);
    json.writeEndObject();
  }

  /**
   * The letter that stands for a byte in byte-level vocabularies (GPT-2's): printable Latin-1 as it
   * is, the others in their order from U+0100 on.
   */
  private static char letter(int value) {
    int shifted = 0;
    for (int i = 0; i < value; i++) {
      shifted += printable(i) ? 0 : 1;
    }
    return (char) (printable(value) ? value : BYTES + shifted);
  }

  private static boolean printable(int value) {
    return (value >= '!' && value <= '~') || (value >= 0xa1 && value <= 0xff && value != 0xad);
  }
}
