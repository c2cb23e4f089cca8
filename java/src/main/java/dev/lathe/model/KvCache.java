package dev.lathe.model;

import dev.lathe.backend.Backend;
import dev.lathe.backend.DeviceMemory;
import dev.lathe.backend.KvLayer;
import dev.lathe.backend.OutOfDeviceMemoryException;
import dev.lathe.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/**
 * Keys and values of many sequences, in pages of {@link #pageSize()} tokens that any sequence may
 * own, so that memory is not set aside for tokens that may never come. Paged attention: Kwon et al.
 * 2023, arXiv 2309.06180.
 */
public final class KvCache implements AutoCloseable {
  /** Tokens a page holds unless asked otherwise: little is lost in a sequence's last page. */
  public static final int PAGE_SIZE = 16;

  private final ModelConfig config;
  private final DeviceMemory memory;
  private final List<KvLayer> layers = new ArrayList<>();
  private final Layout layout;
  private final int pages;
  private final int pageSize;
  private final FreePages free;
  private int sequences;

  KvCache(Backend backend, ModelConfig config, int pages, int pageSize, DType dtype) {
    if (pages < 1 || pageSize < 1) {
      throw new IllegalArgumentException(
          "%d pages of %d tokens make no cache".formatted(pages, pageSize));
    }
    Math.multiplyExact(pages, pageSize); // slots are ints
    this.config = config;
    this.pages = pages;
    this.pageSize = pageSize;
    this.free = new FreePages(pages);
    this.memory = backend.allocateMemory();
    try {
      long[] shape = KvLayer.shape(dtype, pages, config.kvHeads(), pageSize, config.headDim());
      for (int i = 0; i < config.layers(); i++) {
        layers.add(new KvLayer(memory.tensor(dtype, shape), memory.tensor(dtype, shape)));
      }
    } catch (OutOfDeviceMemoryException e) {
      long available = memory.bytes() + e.freeBytes();
      memory.close();
      throw tooLarge(config, dtype, available);
    } catch (RuntimeException | Error e) {
      memory.close();
      throw e;
    }
    List<Object> parts = new ArrayList<>(List.of(dtype, pages, pageSize));
    layers.forEach(layer -> parts.add(List.of(layer.keys().address(), layer.values().address())));
    this.layout = new Layout(parts);
  }

  /** Its hash is asked for in every step, so it is kept. */
  static final class Layout {
    private final List<Object> parts;
    private final int hash;

    private Layout(List<Object> parts) {
      this.parts = List.copyOf(parts);
      this.hash = parts.hashCode();
    }

    @Override
    public int hashCode() {
      return hash;
    }

    @Override
    public boolean equals(Object other) {
      return this == other
          || (other instanceof Layout layout && hash == layout.hash && parts.equals(layout.parts));
    }
  }

  private OutOfDeviceMemoryException tooLarge(ModelConfig config, DType dtype, long available) {
    long tokenBytes = config.cacheBytesPerToken(dtype);
    long tokens = (long) pages * pageSize;
    return new OutOfDeviceMemoryException(
        ("out of device memory: a KV-cache of %,d tokens in %s needs %,d bytes beside the model, and"
                + " %,d are free: %,d tokens would fit. Fewer sequences at a time, a shorter context,"
                + " or a model in a smaller type leave more room")
            .formatted(tokens, dtype, tokens * tokenBytes, available, available / tokenBytes),
        available);
  }

  /** Where the cache lies and how it is laid out: equal for two that kernels can't tell apart. */
  Layout layout() {
    return layout;
  }

  public KvLayer layer(int index) {
    return layers.get(index);
  }

  /** Tokens a page holds. */
  public int pageSize() {
    return pageSize;
  }

  public int pages() {
    return pages;
  }

  public int freePages() {
    return free.count();
  }

  /** Bytes of device memory, as allocated. */
  public long bytes() {
    return memory.bytes();
  }

  /** An empty sequence of as many tokens as anything admits. */
  public KvSequence newSequence() {
    return newSequence(Integer.MAX_VALUE);
  }

  /**
   * An empty sequence that will have at most so many tokens: some models rotate the keys of short
   * sequences by other angles than those of long ones ({@link Rope.LongRope}).
   */
  public KvSequence newSequence(int mostTokens) {
    sequences++;
    int firstRotation = config.rope().map(rope -> rope.firstRow(mostTokens)).orElse(0);
    boolean known = mostTokens < Integer.MAX_VALUE;
    int most = known ? Math.ceilDiv(mostTokens, pageSize) : 0;
    return new KvSequence(this, mostTokens, known ? free.claim(most) : -1, most, firstRotation);
  }

  /**
   * @param into where page numbers go, from {@code at} on
   * @param claimed the first page that was set aside for {@code into[0]}, or a negative number
   */
  void take(int[] into, int at, int count, int claimed, int claimedPages) {
    if (count > free.count()) {
      throw new CacheFullException(count, free.count(), pages, pageSize);
    }
    for (int i = at; i < at + count; i++) {
      into[i] = free.take(claimed >= 0 && i < claimedPages ? claimed + i : -1);
    }
  }

  void giveBack(int[] from, int at, int count) {
    for (int i = at; i < at + count; i++) {
      free.giveBack(from[i]);
    }
  }

  void forget(int claimed, int claimedPages) {
    free.unclaim(claimed, claimedPages);
    sequences--;
  }

  /** Sequences that were opened and not closed. */
  public int openSequences() {
    return sequences;
  }

  @Override
  public void close() {
    memory.close();
  }
}
