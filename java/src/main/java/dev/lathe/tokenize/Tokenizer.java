package dev.lathe.tokenize;

import java.util.List;
import java.util.OptionalInt;

/** Text to token ids and back. */
public interface Tokenizer extends AutoCloseable {

  /** Ids of the text alone, without beginning-of-sequence or other special tokens added. */
  int[] encode(String text);

  /**
   * Ids of several texts, as {@link #encode} gives them one by one; faster for many.
   *
   * @return in the order of the texts
   */
  List<int[]> encodeAll(List<String> texts);

  /**
   * The text of the ids, special tokens left out. Bytes that are no UTF-8 become U+FFFD.
   *
   * <p>A text that starts a sequence and one that continues it may differ in a leading space: use
   * {@link #stream} to decode what a model generates.
   */
  String decode(int[] ids);

  /**
   * Decodes token by token, never splitting a character.
   *
   * @param context tokens that come before, as far as they are known; they give no text
   */
  TokenStream stream(int[] context);

  /** Number of ids, added tokens included: ids are below this. */
  int vocabularySize();

  /** The token that begins a sequence, where the model wants one. */
  OptionalInt beginOfSequence();

  @Override
  void close();
}
