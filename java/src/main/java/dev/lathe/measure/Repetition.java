package dev.lathe.measure;

import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/**
 * One run of a variant over all requests: what was observed, and a line of {@code samples.jsonl}.
 *
 * @param variant what ran: {@code cached}, {@code naive}, {@code batch 8}
 * @param index from 0, warm-ups not counted
 * @param samples one a request, in the order of the requests
 */
public record Repetition(String variant, int index, List<Sample> samples) {
  private static final String KIND = "kind";
  private static final String REPETITION = "repetition";

  public Repetition {
    samples = List.copyOf(samples);
  }

  /** As a line for {@link RunFolder#append}. */
  public ObjectNode toJson() {
    ObjectNode line = RunJson.mapper().createObjectNode().put(KIND, REPETITION);
    line.setAll(RunJson.mapper().<ObjectNode>valueToTree(this));
    return line;
  }

  public static boolean isRepetition(ObjectNode line) {
    return line.path(KIND).asString("").equals(REPETITION);
  }

  /**
   * Reads a line that {@link #toJson} wrote.
   *
   * @throws dev.lathe.error.InvalidInputException if it is none
   */
  public static Repetition fromJson(ObjectNode line, String where) {
    ObjectNode rest = line.deepCopy();
    rest.remove(KIND);
    return RunJson.read(RunJson.line(rest), Repetition.class, where);
  }
}
