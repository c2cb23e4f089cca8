package dev.lathe.compress;

import dev.lathe.error.InvalidInputException;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The keys of one step of a recipe, read strictly: what is not allowed is refused with what is.
 *
 * @param where file, line and column, for messages
 * @param what the step is called in messages
 */
public record StepFields(String where, String what, ObjectNode fields) {

  /**
   * @throws InvalidInputException if there are others
   */
  public void allow(String... keys) {
    for (String key : fields.propertyNames()) {
      if (!Arrays.asList(keys).contains(key)) {
        throw error(
            "unknown key '%s' in %s; allowed: %s".formatted(key, what, String.join(", ", keys)));
      }
    }
  }

  /** The keys in another one's mapping; none where it is absent. */
  public Optional<StepFields> nested(String key) {
    JsonNode value = fields.get(key);
    if (value == null) {
      return Optional.empty();
    }
    if (!(value instanceof ObjectNode mapping)) {
      throw error("'%s' is %s; it must be keys with values".formatted(key, value));
    }
    return Optional.of(new StepFields(where, "'" + key + "'", mapping));
  }

  public String choice(String key, Optional<String> absent, List<String> allowed) {
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

  public boolean flag(String key, boolean absent) {
    JsonNode value = fields.get(key);
    if (value != null && !value.isBoolean()) {
      throw error("'%s' is %s; it must be true or false".formatted(key, value));
    }
    return value == null ? absent : value.booleanValue();
  }

  public int integer(String key, int absent, int from, int to) {
    JsonNode value = fields.get(key);
    boolean whole = value != null && value.isIntegralNumber() && value.canConvertToInt();
    if (value != null && !(whole && value.intValue() >= from && value.intValue() <= to)) {
      throw error(
          "'%s' is %s; it must be a whole number from %d to %d".formatted(key, value, from, to));
    }
    return value == null ? absent : value.intValue();
  }

  /** A number that is not negative. */
  public double number(String key, double absent) {
    JsonNode value = fields.get(key);
    if (value != null
        && !(value.isNumber()
            && value.doubleValue() >= 0
            && Double.isFinite(value.doubleValue()))) {
      throw error("'%s' is %s; it must be a number that is 0 or more".formatted(key, value));
    }
    return value == null ? absent : value.doubleValue();
  }

  /** A number between 0 and 1, neither of them. */
  public double share(String key) {
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

  public InvalidInputException error(String message) {
    return new InvalidInputException(where + ": " + message);
  }
}
