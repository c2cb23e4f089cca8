package dev.lathe.canary.generate;

/** What the compress canary calls, wrongly. */
public final class Neighbour {
  private Neighbour() {}

  public static int row() {
    return 4;
  }
}
