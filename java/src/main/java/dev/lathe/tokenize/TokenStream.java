package dev.lathe.tokenize;

/** Decodes a sequence of tokens piece by piece. */
public interface TokenStream {

  /** The text that became certain with this token; empty while a character is incomplete. */
  String next(int token);

  /** What is left at the end; incomplete characters become U+FFFD. */
  String finish();
}
