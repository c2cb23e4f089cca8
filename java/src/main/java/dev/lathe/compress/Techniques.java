package dev.lathe.compress;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Techniques as a recipe writes them. Strict: an unknown technique, key or value, a missing key and
 * a value of another type are each refused with what is allowed.
 *
 * <pre>{@code
 * {technique: quantize, scheme: w8a16, method: rtn, symmetric: true}
 * {technique: prune, pattern: unstructured, method: magnitude, sparsity: 0.5, scope: layer,
 *  embedding: false}
 * }</pre>
 *
 * <p>Required: {@code technique}; {@code scheme} to quantize; {@code sparsity} to prune. The other
 * values above are the defaults.
 */
public final class Techniques {
  private static final List<String> NAMES = List.of("quantize", "prune");

  private Techniques() {}

  /**
   * The technique of one step.
   *
   * @param where file, line and column, for messages
   * @param step with the key {@code technique}
   * @throws InvalidInputException names the place, the key, and what is allowed
   */
  public static Technique parse(String where, ObjectNode step) {
    String name = new Step(where, "a step", step).choice("technique", Optional.empty(), NAMES);
    Step fields = new Step(where, "'" + name + "'", step);
    return name.equals("quantize") ? quantize(fields) : prune(fields);
  }

  private static Technique quantize(Step step) {
    step.allow("technique", "scheme", "method", "symmetric");
    step.choice("scheme", Optional.empty(), List.of("w8a16"));
    step.choice("method", Optional.of("rtn"), List.of("rtn"));
    return new QuantizeInt8(step.flag("symmetric", true));
  }

  private static Technique prune(Step step) {
    step.allow("technique", "pattern", "method", "sparsity", "scope", "embedding");
    step.choice("pattern", Optional.of("unstructured"), List.of("unstructured"));
    step.choice("method", Optional.of("magnitude"), List.of("magnitude"));
    String scope = step.choice("scope", Optional.of("layer"), List.of("layer", "global"));
    return new MagnitudePrune(
        step.share("sparsity"),
        Scope.valueOf(scope.toUpperCase(Locale.ROOT)),
        step.flag("embedding", false));
  }

  /** The keys of one step. */
  private record Step(String where, String what, ObjectNode fields) {

    void allow(String... keys) {
      for (String key : fields.propertyNames()) {
        if (!Arrays.asList(keys).contains(key)) {
          throw error(
              "unknown key '%s' in %s; allowed: %s".formatted(key, what, String.join(", ", keys)));
        }
      }
    }

    String choice(String key, Optional<String> absent, List<String> allowed) {
      JsonNode value = fields.get(key);
      String choices = String.join(", ", allowed);
      if (value == null) {
        return absent.orElseThrow(
            () -> error("%s lacks '%s'; allowed: %s".formatted(what, key, choices)));
      }
      if (!value.isString() || !allowed.contains(value.stringValue())) {
        throw error("'%s' is %s; allowed: %s".formatted(key, value, choices));
      }
      return value.stringValue();
    }

    boolean flag(String key, boolean absent) {
      JsonNode value = fields.get(key);
      if (value != null && !value.isBoolean()) {
        throw error("'%s' is %s; it must be true or false".formatted(key, value));
      }
      return value == null ? absent : value.booleanValue();
    }

    double share(String key) {
      JsonNode value = fields.get(key);
      String right = "it must be a number above 0 and below 1, such as 0.5";
      if (value == null) {
        throw error("%s lacks '%s'; %s".formatted(what, key, right));
      }
      if (!value.isNumber() || !(value.doubleValue() > 0 && value.doubleValue() < 1)) {
        throw error("'%s' is %s; %s".formatted(key, value, right));
      }
      return value.doubleValue();
    }

    private InvalidInputException error(String message) {
      return new InvalidInputException(where + ": " + message);
    }
  }
}
