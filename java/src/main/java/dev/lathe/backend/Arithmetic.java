package dev.lathe.backend;

/** The units that multiply: what arithmetic can reach at best depends on them. */
public enum Arithmetic {
  F32("f32"),
  /** Products of 16-bit integers, sums in 32 bits, of a CPU. */
  INT16("int16"),
  /** Products of 8-bit integers, sums in 32 bits, of a CPU. */
  INT8("int8"),
  /** Products of 16-bit floats, BF16 or F16, which tensor cores multiply at the same rate. */
  BF16_TENSOR_CORES("bf16 tensor cores"),
  /** Products of 8-bit integers. */
  INT8_TENSOR_CORES("int8 tensor cores");

  private final String text;

  Arithmetic(String text) {
    this.text = text;
  }

  @Override
  public String toString() {
    return text;
  }
}
