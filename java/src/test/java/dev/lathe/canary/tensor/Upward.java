package dev.lathe.canary.tensor;

import dev.lathe.canary.model.Above;

/** Breaks the architecture rule on purpose: the tensor floor calls the model floor. */
public final class Upward {
  private Upward() {}

  public static int height() {
    return Above.height() - 1;
  }
}
