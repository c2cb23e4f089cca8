package dev.lathe.generate;

import dev.lathe.tokenize.TokenStream;
import dev.lathe.tokenize.Tokenizer;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.OptionalInt;

/** One token a byte, for tests; ids from 256 on give no text. */
public class ByteTokenizer implements Tokenizer {
  @Override
  public int[] encode(String text) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    int[] ids = new int[bytes.length];
    for (int i = 0; i < ids.length; i++) {
      ids[i] = bytes[i] & 0xff;
    }
    return ids;
  }

  @Override
  public List<int[]> encodeAll(List<String> texts) {
    return texts.stream().map(this::encode).toList();
  }

  @Override
  public String decode(int[] ids) {
    StringBuilder text = new StringBuilder();
    for (int id : ids) {
      text.append(letter(id));
    }
    return text.toString();
  }

  @Override
  public TokenStream stream(int[] context) {
    return new TokenStream() {
      @Override
      public String next(int token) {
        return letter(token);
      }

      @Override
      public String finish() {
        return "";
      }
    };
  }

  private static String letter(int id) {
    return id < 256 ? String.valueOf((char) id) : "";
  }

  @Override
  public int vocabularySize() {
    return 300;
  }

  @Override
  public OptionalInt beginOfSequence() {
    return OptionalInt.of(256);
  }

  @Override
  public void close() {}
}
