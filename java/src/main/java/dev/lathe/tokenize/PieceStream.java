package dev.lathe.tokenize;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;

/**
 * Decodes UTF-8 as its bytes come, token by token: what is certain is given out at once, the bytes
 * of an incomplete character wait. Time is linear in the length of the text.
 */
final class PieceStream implements TokenStream {
  /** The longest beginning of a character that is not whole yet. */
  private static final int MAX_PENDING_BYTES = 3;

  private final TokenPieces pieces;
  private final CharsetDecoder decoder =
      StandardCharsets.UTF_8
          .newDecoder()
          .onMalformedInput(CodingErrorAction.REPLACE)
          .onUnmappableCharacter(CodingErrorAction.REPLACE);
  private byte[] pending = new byte[0];
  private boolean first = true;
  private int spacesToStrip;

  PieceStream(TokenPieces pieces) {
    this.pieces = pieces;
    this.spacesToStrip = pieces.leadingSpacesToStrip();
  }

  @Override
  public String next(int token) {
    byte[] bytes = pieces.bytes(token, first);
    if (bytes == null) {
      return "";
    }
    first = false;
    int from = strip(bytes);
    return pending.length == 0 && isAscii(bytes)
        ? new String(bytes, from, bytes.length - from, StandardCharsets.US_ASCII)
        : decode(bytes, from, false);
  }

  private static boolean isAscii(byte[] bytes) {
    for (byte b : bytes) {
      if (b < 0) {
        return false;
      }
    }
    return true;
  }

  @Override
  public String finish() {
    return decode(new byte[0], 0, true);
  }

  /** Where a token's bytes begin that are not leading spaces which the text loses. */
  private int strip(byte[] bytes) {
    int from = 0;
    while (from < bytes.length && spacesToStrip > 0) {
      if (bytes[from] == ' ') {
        from++;
        spacesToStrip--;
      } else {
        spacesToStrip = 0;
      }
    }
    return from;
  }

  private String decode(byte[] bytes, int from, boolean end) {
    ByteBuffer in = ByteBuffer.allocate(pending.length + bytes.length - from);
    in.put(pending).put(bytes, from, bytes.length - from).flip();
    CharBuffer out = CharBuffer.allocate(in.remaining() + MAX_PENDING_BYTES);
    decoder.reset();
    decoder.decode(in, out, end);
    if (end) {
      decoder.flush(out);
    }
    pending = new byte[in.remaining()];
    in.get(pending);
    return out.flip().toString();
  }
}
