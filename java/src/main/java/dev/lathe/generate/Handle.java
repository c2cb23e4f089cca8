package dev.lathe.generate;

import java.util.Optional;

/** A request that was handed to an {@link Engine}. */
public final class Handle {
  private Generation result;

  Handle() {}

  void complete(Generation generation) {
    result = generation;
  }

  /** The result, once there is one. */
  public Optional<Generation> result() {
    return Optional.ofNullable(result);
  }
}
