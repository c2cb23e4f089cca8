package dev.lathe.tokenize;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import java.util.function.LongFunction;

/** Owns a tokenizer of the native library; any number of threads may use it. */
final class NativeTokenizer implements AutoCloseable {
  private final TokenizersLibrary library = TokenizerLibrary.get();

  /** Held for writing by {@link #close}: a freed tokenizer would take the process with it. */
  private final ReadWriteLock lock = new ReentrantReadWriteLock();

  private long handle;

  /**
   * A tokenizer that neither truncates nor pads, whatever its file says.
   *
   * @throws RuntimeException with the native parser's message, if the JSON is no tokenizer
   */
  NativeTokenizer(byte[] tokenizerJson) {
    handle = library.createTokenizerFromString(new String(tokenizerJson, StandardCharsets.UTF_8));
    library.disableTruncation(handle);
    library.disablePadding(handle);
  }

  /** Ids without special tokens; the text must be well-formed. */
  int[] encode(String text) {
    return locked(tokenizer -> take(library.encode(tokenizer, text, false)));
  }

  /** As {@link #encode}, on all processors. */
  List<int[]> encodeAll(String[] texts) {
    return locked(tokenizer -> {
      List<int[]> all = new ArrayList<>(texts.length);
      for (long encoding : library.batchEncode(tokenizer, texts, false)) {
        all.add(take(encoding));
      }
      return all;
    });
  }

  /** The library's own decoding, without special tokens: what ours is held against. */
  String decode(int[] ids) {
    long[] wide = Arrays.stream(ids).asLongStream().toArray();
    return locked(tokenizer -> library.decode(tokenizer, wide, true));
  }

  /** The ids of a native encoding, which is freed. */
  private int[] take(long encoding) {
    try {
      return Arrays.stream(library.getTokenIds(encoding)).mapToInt(Math::toIntExact).toArray();
    } finally {
      library.deleteEncoding(encoding);
    }
  }

  private <T> T locked(LongFunction<T> action) {
    lock.readLock().lock();
    try {
      if (handle == 0) {
        throw new IllegalStateException("the tokenizer is closed");
      }
      return action.apply(handle);
    } finally {
      lock.readLock().unlock();
    }
  }

  @Override
  public void close() {
    lock.writeLock().lock();
    try {
      if (handle != 0) {
        library.deleteTokenizer(handle);
        handle = 0;
      }
    } finally {
      lock.writeLock().unlock();
    }
  }
}
