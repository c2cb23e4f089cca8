package dev.lathe.canary.attic;

/** Breaks the architecture rule on purpose: there is no floor of that name. */
public final class Stray {
  private Stray() {}
}
