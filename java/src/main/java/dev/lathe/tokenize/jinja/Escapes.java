package dev.lathe.tokenize.jinja;

/** The escapes of a Python string. */
final class Escapes {
  private static final String LETTERS = "abfnrtv\\'\"";
  private static final String MEANING = "\u0007\b\f\n\r\t\u000b\\'\"";

  private Escapes() {}

  static String decode(String text, int line) {
    StringBuilder out = new StringBuilder(text.length());
    int at = 0;
    while (at < text.length()) {
      char c = text.charAt(at++);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char kind = text.charAt(at++); // the lexer saw to it that one follows
      int letter = LETTERS.indexOf(kind);
      int digits = kind == 'x' ? 2 : kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
      if (letter >= 0) {
        out.append(MEANING.charAt(letter));
      } else if (digits > 0) {
        out.appendCodePoint(number(text, at, digits, 16, line));
        at += digits;
      } else if (kind >= '0' && kind <= '7') {
        int end = at;
        while (end < text.length() && end < at + 2 && Character.digit(text.charAt(end), 8) >= 0) {
          end++;
        }
        out.appendCodePoint(number(text, at - 1, end - at + 1, 8, line));
        at = end;
      } else if (kind == 'N') {
        throw TemplateException.at(line, "characters by name, \\N{...}, are not read");
      } else if (kind != '\n') {
        out.append('\\').append(kind);
      }
    }
    return out.toString();
  }

  private static int number(String text, int at, int digits, int radix, int line) {
    long value = 0;
    for (int i = at; i < at + digits; i++) {
      int digit = i < text.length() ? Character.digit(text.charAt(i), radix) : -1;
      if (digit < 0) {
        throw TemplateException.at(line, "an escape in a text is not complete");
      }
      value = value * radix + digit;
    }
    if (value > Character.MAX_CODE_POINT || (value >= 0xd800 && value <= 0xdfff)) {
      throw TemplateException.at(line, "an escape in a text stands for no character");
    }
    return (int) value;
  }
}
