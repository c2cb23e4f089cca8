package dev.lathe.tokenize.jinja;

import dev.lathe.tokenize.jinja.Token.Kind;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Splits a template into text and tokens, with {@code trim_blocks} and {@code lstrip_blocks}: a
 * newline behind a block or comment goes, and so do the spaces before one that begins a line.
 */
final class Lexer {
  private static final Pattern NEWLINE = Pattern.compile("\r\n|\r|\n");
  private static final Pattern RAW_BEGIN =
      Pattern.compile("\\{%[-+]?\\s*raw\\s*(-%\\}|%\\})", Pattern.UNICODE_CHARACTER_CLASS);
  private static final Pattern RAW_END =
      Pattern.compile(
          "\\{%([-+]?)\\s*endraw\\s*(\\+%\\}|-%\\}|%\\}\\n?)", Pattern.UNICODE_CHARACTER_CLASS);
  private static final Pattern FLOAT =
      Pattern.compile(
          "(?<!\\.)(\\d+_)*\\d+((\\.(\\d+_)*\\d+)?[eE][+\\-]?(\\d+_)*\\d+|\\.(\\d+_)*\\d+)");
  private static final Pattern INTEGER = Pattern.compile("[1-9](_?\\d)*|0(_?0)*");
  private static final Pattern NAME =
      Pattern.compile("[\\p{L}\\p{Nl}_][\\p{L}\\p{Nl}\\p{Mn}\\p{Mc}\\p{Nd}\\p{Pc}]*");
  private static final Pattern OPERATOR =
      Pattern.compile("//|\\*\\*|==|!=|>=|<=|[-+/*%~\\[\\](){}><=.:|,]");

  private final String source;
  private final List<Token> tokens = new ArrayList<>();
  private int at;
  private int line = 1;
  private boolean lineStarts = true;

  private Lexer(String source) {
    this.source = source;
  }

  static List<Token> tokens(String template) {
    String source = NEWLINE.matcher(template).replaceAll("\n");
    // Of the newlines at the end, Jinja2 drops one.
    Lexer lexer =
        new Lexer(source.endsWith("\n") ? source.substring(0, source.length() - 1) : source);
    while (lexer.at < lexer.source.length()) {
      lexer.dataAndTag();
    }
    lexer.add(Kind.END, "");
    return lexer.tokens;
  }

  private void add(Kind kind, String value) {
    tokens.add(new Token(kind, value, line));
  }

  /** Text up to the next tag, and the tag. */
  private void dataAndTag() {
    int begin = nextTag();
    if (begin < 0) {
      data(source.substring(at), source.length());
      return;
    }
    char type = source.charAt(begin + 1);
    char sign = begin + 2 < source.length() ? source.charAt(begin + 2) : 0;
    data(trimmed(source.substring(at, begin), sign, type != '{'), begin);
    at = begin;
    Matcher raw = RAW_BEGIN.matcher(source).region(begin, source.length());
    if (type == '%' && raw.lookingAt()) {
      raw(raw);
      return;
    }
    moveTo(begin + (sign == '-' || sign == '+' ? 3 : 2));
    switch (type) {
      case '#' -> comment();
      case '%' -> tag(Kind.BLOCK_BEGIN, Kind.BLOCK_END, "%}");
      default -> tag(Kind.VARIABLE_BEGIN, Kind.VARIABLE_END, "}}");
    }
  }

  private int nextTag() {
    for (int i = source.indexOf('{', at); i >= 0; i = source.indexOf('{', i + 1)) {
      if (i + 1 < source.length() && "{%#".indexOf(source.charAt(i + 1)) >= 0) {
        return i;
      }
    }
    return -1;
  }

  private String trimmed(String text, char sign, boolean block) {
    if (sign == '-') {
      return PythonText.stripRight(text);
    }
    int lineBegin = text.lastIndexOf('\n') + 1;
    boolean begins = lineBegin > 0 || lineStarts;
    boolean blank = PythonText.strip(text.substring(lineBegin)).isEmpty();
    return block && sign != '+' && begins && blank ? text.substring(0, lineBegin) : text;
  }

  private void data(String text, int end) {
    if (!text.isEmpty()) {
      add(Kind.DATA, text);
    }
    moveTo(end);
  }

  private void moveTo(int end) {
    for (int i = at; i < end; i++) {
      line += source.charAt(i) == '\n' ? 1 : 0;
    }
    if (end > at) {
      lineStarts = source.charAt(end - 1) == '\n';
    }
    at = end;
  }

  /** Over the spaces that {@code -} asks to drop. */
  private void skipSpace() {
    int end = at;
    while (end < source.length() && PythonText.isSpace(source.charAt(end))) {
      end++;
    }
    moveTo(end);
  }

  private void comment() {
    int end = source.indexOf("#}", at);
    if (end < 0) {
      throw TemplateException.at(line, "a comment, {#, does not end");
    }
    char sign = end > at ? source.charAt(end - 1) : 0;
    moveTo(end + 2);
    afterBlock(sign);
  }

  private void afterBlock(char sign) {
    if (sign == '-') {
      skipSpace();
    } else if (sign != '+' && at < source.length() && source.charAt(at) == '\n') {
      moveTo(at + 1);
    }
  }

  private void raw(Matcher begin) {
    moveTo(begin.end());
    if (begin.group(1).startsWith("-")) {
      skipSpace();
    }
    Matcher end = RAW_END.matcher(source);
    if (!end.find(at)) {
      throw TemplateException.at(line, "{% raw %} has no {% endraw %}");
    }
    char sign = end.group(1).isEmpty() ? 0 : end.group(1).charAt(0);
    data(trimmed(source.substring(at, end.start()), sign, true), end.start());
    moveTo(end.end());
    if (end.group(2).startsWith("-")) {
      skipSpace();
    }
  }

  /** The tokens of one tag. */
  private void tag(Kind begin, Kind end, String close) {
    add(begin, "");
    Deque<Character> open = new ArrayDeque<>();
    while (true) {
      skipSpace();
      if (at >= source.length()) {
        throw TemplateException.at(line, "a tag does not end with " + close);
      }
      if (open.isEmpty() && ends(end, close)) {
        return;
      }
      token(open);
    }
  }

  private boolean ends(Kind end, String close) {
    char sign = source.charAt(at);
    boolean signed = sign == '-' || (sign == '+' && end == Kind.BLOCK_END);
    if (!source.startsWith(close, signed ? at + 1 : at)) {
      return false;
    }
    add(end, "");
    moveTo(at + (signed ? 3 : 2));
    if (end == Kind.BLOCK_END) {
      afterBlock(sign);
    } else if (sign == '-') {
      skipSpace();
    }
    return true;
  }

  private void token(Deque<Character> open) {
    char first = source.charAt(at);
    if (match(FLOAT, Kind.FLOAT) || match(INTEGER, Kind.INTEGER) || match(NAME, Kind.NAME)) {
      return;
    }
    if (first == '\'' || first == '"') {
      string(first);
      return;
    }
    if (!match(OPERATOR, Kind.OPERATOR)) {
      throw TemplateException.at(
          line,
          "unexpected " + PythonText.repr(new String(Character.toChars(source.codePointAt(at)))));
    }
    switch (first) {
      case '(' -> open.push(')');
      case '[' -> open.push(']');
      case '{' -> open.push('}');
      case ')', ']', '}' -> {
        if (open.isEmpty() || open.pop() != first) {
          throw TemplateException.at(line, "unexpected '" + first + "'");
        }
      }
      default -> {
        // Other operators need no partner.
      }
    }
  }

  private boolean match(Pattern pattern, Kind kind) {
    Matcher matcher =
        pattern
            .matcher(source)
            .region(at, source.length())
            .useTransparentBounds(true)
            .useAnchoringBounds(false);
    if (!matcher.lookingAt()) {
      return false;
    }
    add(kind, matcher.group());
    moveTo(matcher.end());
    return true;
  }

  private void string(char quote) {
    int end = at + 1;
    while (end < source.length() && source.charAt(end) != quote) {
      end += source.charAt(end) == '\\' ? 2 : 1;
    }
    if (end >= source.length()) {
      throw TemplateException.at(line, "a text in quotes does not end");
    }
    add(Kind.STRING, Escapes.decode(source.substring(at + 1, end), line));
    moveTo(end + 1);
  }
}
