package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.lathe.checkpoint.StrictJson;
import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/** Small tokenizers written here: byte-level, metaspace, and broken ones. */
class HuggingFaceTokenizerTest {
  @TempDir Path folder;

  /** A byte-level tokenizer whose 256 tokens are the bytes, in their order, and an added token. */
  private static ObjectNode byteLevel() {
    ObjectNode root = StrictJson.mapper().createObjectNode().put("version", "1.0");
    root.putArray("added_tokens")
        .addObject()
        .put("id", 256)
        .put("content", "<|end of text|>")
        .put("single_word", false)
        .put("lstrip", false)
        .put("rstrip", false)
        .put("normalized", false)
        .put("special", true);
    ObjectNode pre = root.putObject("pre_tokenizer").put("type", "ByteLevel");
    pre.put("add_prefix_space", false).put("trim_offsets", true).put("use_regex", true);
    root.set("decoder", pre.deepCopy());
    ObjectNode model = root.putObject("model").put("type", "BPE");
    ObjectNode vocabulary = model.putObject("vocab");
    char next = 0x100;
    for (int b = 0; b < 256; b++) {
      boolean printable = (b > 32 && b < 127) || (b > 160 && b != 173);
      vocabulary.put(String.valueOf(printable ? (char) b : next++), b);
    }
    model.putArray("merges");
    return root;
  }

  private HuggingFaceTokenizer load(String json) throws IOException {
    Path file = Files.writeString(folder.resolve("tokenizer.json"), json);
    Path config = folder.resolve("tokenizer_config.json");
    return HuggingFaceTokenizer.load(
        file,
        Files.exists(config) ? Optional.of(config) : Optional.empty(),
        StrictJson.mapper().createObjectNode().put("bos_token_id", 7));
  }

  @Test
  void byteLevelTokensAreTheirBytes() throws IOException {
    try (HuggingFaceTokenizer tokenizer = load(byteLevel().toString());
        NativeTokenizer library =
            new NativeTokenizer(byteLevel().toString().getBytes(StandardCharsets.UTF_8))) {
      String text = " Zoë’s 漢字 👩‍👩‍👧\n\u00ad\0 <|end of text|>";
      int[] ids = tokenizer.encode(text);
      assertThat(ids).contains(256);
      assertThat(tokenizer.decode(ids)).isEqualTo(text.replace("<|end of text|>", ""));
      assertThat(tokenizer.vocabularySize()).isEqualTo(257);
      Random random = new Random(11);
      for (int run = 0; run < 2000; run++) {
        // Bytes at random, most of them the beginnings and ends of longer characters.
        int[] bytes =
            random
                .ints(random.nextInt(12), 0, 10)
                .map(i -> new int[] {'a', 0x80, 0xbf, 0xc3, 0xe2, 0x82, 0xac, 0xf0, 0x9f, 0xff}[i])
                .toArray();
        assertThat(tokenizer.decode(bytes))
            .as(Arrays.toString(bytes))
            .isEqualTo(library.decode(bytes));
      }
    }
  }

  @Test
  void metaspaceDropsThePrefixOfTheFirstTokenOnly() throws IOException {
    ObjectNode root = byteLevel();
    root.remove("added_tokens");
    ObjectNode metaspace = StrictJson.mapper().createObjectNode();
    metaspace.put("type", "Metaspace").put("replacement", "\u2581");
    metaspace.put("prepend_scheme", "always").put("split", true);
    root.set("decoder", metaspace);
    root.set("pre_tokenizer", metaspace.deepCopy());
    ObjectNode vocabulary = (ObjectNode) root.get("model").get("vocab");
    vocabulary.removeAll();
    vocabulary.put("\u2581", 0).put("a", 1).put("b", 2);
    try (HuggingFaceTokenizer tokenizer = load(root.toString())) {
      assertThat(tokenizer.encode("ab a")).containsExactly(0, 1, 2, 0, 1);
      assertThat(tokenizer.decode(new int[] {0, 1, 2, 0, 1})).isEqualTo("ab a");
      assertThat(tokenizer.stream(new int[] {1}).next(0)).isEqualTo(" ");
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "{}                                                            ; 7",
        "{\"add_bos_token\": false, \"bos_token\": \"a\"}              ; -1",
        "{\"add_bos_token\": true, \"bos_token\": \"a\"}               ; 97",
        "{\"bos_token\": {\"content\": \"<|end of text|>\"}}           ; 256",
        "{\"bos_token\": null}                                         ; -1",
      })
  void beginOfSequence(String tokenizerConfig, int expected) throws IOException {
    Files.writeString(folder.resolve("tokenizer_config.json"), tokenizerConfig);
    try (HuggingFaceTokenizer tokenizer = load(byteLevel().toString())) {
      assertThat(tokenizer.beginOfSequence().orElse(-1)).isEqualTo(expected);
    }
  }

  @Test
  void beginOfSequenceFromTheTemplateOfAPostProcessor() throws IOException {
    ObjectNode root = byteLevel();
    String template =
        """
        {"type": "Sequence", "processors": [
          {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
          {"type": "TemplateProcessing",
           "single": [{"SpecialToken": {"id": "<|end of text|>", "type_id": 0}},
                      {"Sequence": {"id": "A", "type_id": 0}}],
           "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
           "special_tokens": {"<|end of text|>":
             {"id": "<|end of text|>", "ids": [256], "tokens": ["<|end of text|>"]}}}]}
        """;
    root.set("post_processor", StrictJson.mapper().readTree(template));
    try (HuggingFaceTokenizer tokenizer = load(root.toString())) {
      assertThat(tokenizer.beginOfSequence()).hasValue(256);
      assertThat(tokenizer.encode("a")).containsExactly('a');
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "{\"model\": {\"vocab\": {\"a\": 0}}",
        "[1]",
        "{}",
        "{\"model\": {\"vocab\": {}}}",
        "{\"model\": {\"vocab\": {\"a\": -1}}}",
        "{\"model\": {\"vocab\": {\"a\": 1e9}}}",
        "{\"model\": {\"vocab\": {\"a\": 2000000000}}}",
        "{\"model\": {\"vocab\": {\"a\": 0, \"a\": 1}}}",
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0}, \"merges\": [\"a b\"]}}",
        "{\"model\": {\"type\": \"Strange\", \"vocab\": {\"a\": 0}}}",
        "{\"decoder\": {\"type\": \"CTC\"}, \"model\": {\"vocab\": {\"a\": 0}}}",
      })
  void aBrokenTokenizerIsOneClearMessage(String json) {
    assertThatThrownBy(() -> load(json))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("tokenizer.json")
        .message()
        .satisfies(message -> assertThat(message.lines()).hasSize(1));
  }

  @Test
  void aBeginTokenThatTheVocabularyLacksIsRefused() throws IOException {
    Files.writeString(folder.resolve("tokenizer_config.json"), "{\"bos_token\": \"<x>\"}");
    assertThatThrownBy(() -> load(byteLevel().toString()))
        .isInstanceOf(InvalidInputException.class)
        .hasMessageContaining("<x>");
  }
}
