package dev.lathe.train;

import dev.lathe.error.InvalidInputException;
import java.util.BitSet;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Which weights of which matrices stay zero while the others are trained: fine-tuning after pruning
 * must not grow back what was cut.
 */
public final class Masks {
  public static final Masks NONE = new Masks(Map.of());

  /** By the tensor's name; a bit says that the weight at that place, row by row, is zero. */
  private final Map<String, BitSet> zeros;

  private Masks(Map<String, BitSet> zeros) {
    this.zeros = zeros;
  }

  /** The zeros of every matrix as they are now. */
  static Masks ofZeros(Parameters parameters) {
    Map<String, BitSet> zeros = new LinkedHashMap<>();
    for (Parameters.Entry entry : parameters.entries()) {
      BitSet cut = new BitSet();
      for (int i = 0; entry.isMatrix() && i < entry.elements(); i++) {
        cut.set(i, parameters.values()[entry.offset() + i] == 0);
      }
      if (!cut.isEmpty()) {
        zeros.put(entry.name(), cut);
      }
    }
    return new Masks(zeros);
  }

  /**
   * By the tensor's name; the caller's sets, not copies: what changes in them holds from then on.
   */
  static Masks of(Map<String, BitSet> zeros) {
    return new Masks(zeros);
  }

  /** The mask of each tensor that has one. */
  Map<String, BitSet> byTensor() {
    return zeros;
  }

  /** Weights that are held at zero. */
  public long zeros() {
    return zeros.values().stream().mapToLong(BitSet::cardinality).sum();
  }

  void apply(Parameters parameters) {
    apply(parameters.values(), parameters);
  }

  /** Zeroes the masked places of an array in the order of the parameters. */
  void apply(float[] values, Parameters parameters) {
    zeros.forEach((name, cut) -> {
      Parameters.Entry entry = parameters.entry(name);
      if (entry == null || cut.length() > entry.elements()) {
        throw new InvalidInputException("a mask of " + name + " fits no matrix of the model");
      }
      for (int i = cut.nextSetBit(0); i >= 0; i = cut.nextSetBit(i + 1)) {
        values[entry.offset() + i] = 0;
      }
    });
  }
}
