package dev.lathe.canary.model;

/** What the tensor canary calls, wrongly, and what may call the tensor floor, rightly. */
public final class Above {
  private Above() {}

  public static int height() {
    return 5;
  }
}
