package dev.lathe.checkpoint;

/**
 * The order of a head's rows in query and key matrices. In a GGUF file of the Llama architecture
 * rows that rotary embedding pairs are neighbours, in Hugging Face's half a head apart: row {@code
 * 2 i + h} of a head there is row {@code h * headDim / 2 + i} here.
 *
 * @param headDim rows of a head; even
 */
record GgufRows(long headDim) {
  GgufRows {
    if (headDim < 2 || headDim % 2 != 0) {
      throw new IllegalArgumentException("a head of " + headDim + " rows has no pairs");
    }
  }

  /** Where in a GGUF file the row lies that is {@code row} in Hugging Face's order. */
  long inGguf(long row) {
    long inHead = row % headDim;
    return row - inHead + 2 * (inHead % (headDim / 2)) + inHead / (headDim / 2);
  }

  /** Where in Hugging Face's order the row lies that is {@code row} in a GGUF file. */
  long inHuggingFace(long row) {
    long inHead = row % headDim;
    return row - inHead + inHead % 2 * (headDim / 2) + inHead / 2;
  }
}
