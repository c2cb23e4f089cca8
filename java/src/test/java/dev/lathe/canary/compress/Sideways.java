package dev.lathe.canary.compress;

import dev.lathe.canary.generate.Neighbour;

/** Breaks the architecture rule on purpose: compress and generate share a row. */
public final class Sideways {
  private Sideways() {}

  public static int row() {
    return Neighbour.row();
  }
}
