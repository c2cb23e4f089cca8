package dev.lathe.tokenize;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.checkpoint.StrictJson;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/** A real Llama tokenizer (dummy prefix, byte fallback) against the values that came with it. */
class StoriesTokenizerTest {
  private static Path shared;
  private static HuggingFaceTokenizer tokenizer;
  private static NativeTokenizer library;

  @BeforeAll
  static void load() throws IOException {
    shared = Path.of(System.getProperty("lathe.shared", "shared"));
    Path model = shared.resolve("models/stories260k");
    Assumptions.assumeTrue(Files.isDirectory(model), () -> "skipped: there is no " + model);
    Path json = model.resolve("tokenizer.json");
    tokenizer =
        HuggingFaceTokenizer.load(
            json,
            Optional.of(model.resolve("tokenizer_config.json")),
            StrictJson.readObject(model.resolve("config.json")));
    library = new NativeTokenizer(Files.readAllBytes(json));
  }

  @AfterAll
  static void close() {
    if (tokenizer != null) {
      tokenizer.close();
      library.close();
    }
  }

  private static List<String> documents() throws IOException {
    String text = Files.readString(shared.resolve("datasets/tinystories.txt"));
    return Arrays.stream(text.split("<\\|endoftext\\|>")).map(String::strip).toList();
  }

  private static List<String> otherTexts() {
    return List.of(
        "",
        " ",
        "  two spaces",
        " leading",
        "trailing ",
        "a\n\n\tb\r\n",
        "Zoë paid 3€!\n",
        "日本語のテキスト。漢字とかな",
        "👩‍👩‍👧 family, 🏳️‍🌈 flag, 👍🏽",
        "عربي и русский, ελληνικά",
        "nul \0 inside",
        "\u2581 the prefix itself",
        "<s> </s> <unk> <0xE2>");
  }

  private static String streamed(int[] context, int[] ids) {
    TokenStream stream = tokenizer.stream(context);
    StringBuilder text = new StringBuilder();
    for (int id : ids) {
      String piece = stream.next(id);
      assertThat(piece).doesNotEndWith("\uFFFD");
      assertThat(piece.isEmpty() || !Character.isHighSurrogate(piece.charAt(piece.length() - 1)))
          .isTrue();
      text.append(piece);
    }
    return text.append(stream.finish()).toString();
  }

  private static int[] withBegin(int[] ids) {
    return IntStream.concat(IntStream.of(1), Arrays.stream(ids)).toArray();
  }

  @Test
  void encodesLikeTheReference() {
    ObjectNode expected = StrictJson.readObject(shared.resolve("models/stories260k.expected.json"));
    Map<String, JsonNode> encodings = new java.util.LinkedHashMap<>();
    expected.get("encode").properties().forEach(e -> encodings.put(e.getKey(), e.getValue()));
    assertThat(encodings).isNotEmpty();
    encodings.forEach((text, ids) -> {
      int[] wanted = ids.valueStream().mapToInt(JsonNode::intValue).toArray();
      assertThat(tokenizer.encode(text)).containsExactly(wanted);
    });
    assertThat(tokenizer.vocabularySize()).isEqualTo(512);
    assertThat(tokenizer.beginOfSequence()).hasValue(1);
  }

  @Test
  void longTextsAreNeitherTruncatedNorPadded() throws IOException {
    String text = String.join("\n", documents().subList(0, 50));
    assertThat(tokenizer.encode(text).length).isGreaterThan(10_000);
    List<int[]> both = tokenizer.encodeAll(List.of(text, "a"));
    assertThat(both.get(0)).containsExactly(tokenizer.encode(text));
    assertThat(both.get(1)).containsExactly(tokenizer.encode("a"));
  }

  @Test
  void everyDocumentComesBackWholeAndInPieces() throws IOException {
    List<String> texts = new ArrayList<>(documents());
    assertThat(texts).hasSizeGreaterThan(1000);
    texts.addAll(otherTexts().subList(0, otherTexts().size() - 2));
    List<int[]> encoded = tokenizer.encodeAll(texts);
    int[] before = tokenizer.encode("Once upon a time");
    for (int i = 0; i < texts.size(); i++) {
      int[] ids = encoded.get(i);
      String text = texts.get(i);
      assertThat(tokenizer.decode(ids)).isEqualTo(text);
      assertThat(streamed(new int[0], ids)).isEqualTo(text);
      assertThat(streamed(new int[] {1}, ids)).isEqualTo(text);
      // The dummy prefix of what is encoded by itself is a space where it continues a text.
      assertThat(streamed(withBegin(before), ids)).isEqualTo(text.isEmpty() ? "" : " " + text);
    }
  }

  @Test
  void encodingAllIsEncodingEach() throws IOException {
    List<String> texts = new ArrayList<>(otherTexts());
    texts.addAll(documents().subList(0, 300));
    List<int[]> all = tokenizer.encodeAll(texts);
    assertThat(all).hasSameSizeAs(texts);
    for (int i = 0; i < texts.size(); i++) {
      assertThat(all.get(i)).containsExactly(tokenizer.encode(texts.get(i)));
    }
  }

  @Test
  void decodesLikeTheLibrary() {
    Random random = new Random(3);
    for (String text : otherTexts()) {
      int[] ids = tokenizer.encode(text);
      assertThat(tokenizer.decode(ids)).isEqualTo(decodedByLibrary(ids));
    }
    for (int run = 0; run < 500; run++) {
      // Any tokens but the bytes beyond ASCII, whose runs the library gives up as a whole.
      int[] ids =
          random.ints(random.nextInt(30), 0, 512).filter(id -> id < 131 || id > 258).toArray();
      assertThat(tokenizer.decode(ids)).isEqualTo(decodedByLibrary(ids));
    }
  }

  private static String decodedByLibrary(int[] ids) {
    return library.decode(ids);
  }

  @Test
  void piecesOfAnyTokensAddUpToTheWhole() {
    Random random = new Random(5);
    for (int run = 0; run < 500; run++) {
      int[] ids = random.ints(random.nextInt(40), 0, 512).toArray();
      TokenStream stream = tokenizer.stream(new int[0]);
      StringBuilder text = new StringBuilder();
      Arrays.stream(ids).forEach(id -> text.append(stream.next(id)));
      assertThat(text.append(stream.finish()).toString()).isEqualTo(tokenizer.decode(ids));
    }
  }

  @Test
  void aCharacterWaitsForItsLastByte() {
    int[] euro = {3 + 0xe2, 3 + 0x82, 3 + 0xac};
    TokenStream stream = tokenizer.stream(new int[0]);
    assertThat(stream.next(euro[0])).isEmpty();
    assertThat(stream.next(euro[1])).isEmpty();
    assertThat(stream.next(euro[2])).isEqualTo("€");
    assertThat(stream.next(euro[0])).isEmpty();
    assertThat(stream.next(3 + 'a')).isEqualTo("\uFFFDa");
    assertThat(stream.next(euro[0])).isEmpty();
    assertThat(stream.finish()).isEqualTo("\uFFFD");
    TokenStream continued = tokenizer.stream(new int[] {euro[0], euro[1]});
    assertThat(continued.next(euro[2])).isEqualTo("€");
  }

  @Test
  void specialTokensAndIdsBeyondTheVocabularyGiveNoText() {
    assertThat(tokenizer.decode(new int[] {1, 317, 2, 100_000})).isEqualTo("Lily");
    assertThat(tokenizer.decode(new int[] {1})).isEmpty();
  }

  @Test
  void halfASurrogatePairIsReplaced() {
    assertThat(tokenizer.encode("a\ud83d b")).containsExactly(tokenizer.encode("a\ufffd b"));
    assertThat(tokenizer.encode("\ude00")).containsExactly(tokenizer.encode("\ufffd"));
    assertThat(tokenizer.decode(tokenizer.encode("\ud83d\ude00"))).isEqualTo("\ud83d\ude00");
  }

  @Test
  void streamingTimeIsLinear() {
    int[] ids = tokenizer.encode("word 漢 ".repeat(50_000));
    // A stream that decoded everything again for each token would take hours here.
    assertThat(streamedLength(ids)).isEqualTo("word 漢 ".length() * 50_000);
  }

  private static int streamedLength(int[] ids) {
    TokenStream stream = tokenizer.stream(new int[0]);
    int length = 0;
    for (int id : ids) {
      length += stream.next(id).length();
    }
    return length + stream.finish().length();
  }
}
