package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code lineage.json} beside the weights: {@code {"steps": [{"parent_hash", "technique",
 * "tool"}]}}, oldest first.
 */
final class LineageJson {
  static final String NAME = "lineage.json";

  private static final String PARENT_HASH = "parent_hash";
  private static final String TECHNIQUE = "technique";
  private static final String TOOL = "tool";

  private LineageJson() {}

  static byte[] write(Lineage lineage) {
    ObjectNode root = StrictJson.mapper().createObjectNode();
    ArrayNode steps = root.putArray("steps");
    for (Lineage.Step step : lineage.steps()) {
      steps
          .addObject()
          .put(PARENT_HASH, step.parentHash())
          .put(TECHNIQUE, step.technique())
          .put(TOOL, step.tool());
    }
    return StrictJson.mapper().writerWithDefaultPrettyPrinter().writeValueAsBytes(root);
  }

  /**
   * @throws InvalidInputException if the file is broken or has a key that does not belong there
   */
  static Lineage read(Path file) {
    return parse(StrictJson.readObject(file), file.toString());
  }

  /** As {@link #read}, of text that lies elsewhere. */
  static Lineage parse(byte[] json, String file) {
    return parse(StrictJson.parseObject(json, file), file);
  }

  private static Lineage parse(ObjectNode root, String file) {
    requireKeys(root, Set.of("steps"), file);
    if (!(root.get("steps") instanceof ArrayNode array)) {
      throw new InvalidInputException(file + ": steps must be a list");
    }
    List<Lineage.Step> steps = new ArrayList<>();
    for (JsonNode node : array) {
      String where = "%s: steps[%d]".formatted(file, steps.size());
      if (!(node instanceof ObjectNode step)) {
        throw new InvalidInputException(where + " must be an object");
      }
      requireKeys(step, Set.of(PARENT_HASH, TECHNIQUE, TOOL), where);
      steps.add(
          new Lineage.Step(
              step.get(PARENT_HASH).stringValue(),
              step.get(TECHNIQUE).stringValue(),
              step.get(TOOL).stringValue()));
    }
    return new Lineage(steps);
  }

  private static void requireKeys(ObjectNode object, Set<String> keys, String where) {
    for (String key : object.propertyNames()) {
      if (!keys.contains(key)) {
        throw new InvalidInputException(
            "%s has the unknown key \"%s\"; there are %s".formatted(where, key, keys));
      }
    }
    for (String key : keys) {
      JsonNode value = object.get(key);
      if (value == null || !(value.isString() || value.isArray())) {
        throw new InvalidInputException("%s: the key \"%s\" is missing".formatted(where, key));
      }
      if (keys.size() > 1 && !value.isString()) {
        throw new InvalidInputException("%s: %s must be a string".formatted(where, key));
      }
    }
  }
}
