package dev.lathe.model;

import dev.lathe.error.LatheException;

/** The KV-cache has too few free pages for what was asked. */
public final class CacheFullException extends LatheException {
  private static final long serialVersionUID = 1L;

  CacheFullException(int needed, int free, int pages, int pageSize) {
    super(
        FAILED,
        "the KV-cache is full: %d pages of %d tokens needed, %d of %d free; ask for fewer or shorter"
                .formatted(needed, pageSize, free, pages)
            + " sequences, or give the cache more room");
  }
}
