package dev.lathe.model;

import dev.lathe.error.InvalidInputException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The keys of a JSON object, each with its type checked. Null is as good as absent. It remembers
 * which keys were asked for, so that those that nobody asked for can be named.
 */
final class ConfigKeys {
  /** Sizes beyond this are taken for a broken file: no model comes near it. */
  private static final int LARGEST_SIZE = 1 << 28;

  private final ObjectNode object;
  private final String where;
  private final Set<String> askedFor = new HashSet<>();
  private final Map<String, ConfigKeys> inner = new LinkedHashMap<>();

  ConfigKeys(ObjectNode object, String where) {
    this.object = object;
    this.where = where;
  }

  boolean present(String key) {
    JsonNode value = get(key);
    return value != null && !value.isNull();
  }

  JsonNode get(String key) {
    askedFor.add(key);
    return object.get(key);
  }

  int size(String key) {
    if (!present(key)) {
      throw invalid("%s is missing; it must be a positive integer", key);
    }
    JsonNode value = object.get(key);
    if (!value.isIntegralNumber()
        || !value.canConvertToInt()
        || value.intValue() < 1
        || value.intValue() > LARGEST_SIZE) {
      throw invalid("%s is %s; it must be an integer from 1 to %d", key, value, LARGEST_SIZE);
    }
    return value.intValue();
  }

  int size(String key, int otherwise) {
    return present(key) ? size(key) : otherwise;
  }

  double positive(String key) {
    if (!present(key)) {
      throw invalid("%s is missing; it must be a positive number", key);
    }
    JsonNode value = object.get(key);
    if (!value.isNumber() || !(value.doubleValue() > 0) || Double.isInfinite(value.doubleValue())) {
      throw invalid("%s is %s; it must be a positive number", key, value);
    }
    return value.doubleValue();
  }

  double positive(String key, double otherwise) {
    return present(key) ? positive(key) : otherwise;
  }

  boolean flag(String key, boolean otherwise) {
    if (!present(key)) {
      return otherwise;
    }
    if (!object.get(key).isBoolean()) {
      throw invalid("%s is %s; it must be true or false", key, object.get(key));
    }
    return object.get(key).booleanValue();
  }

  String text(String key, String otherwise) {
    if (!present(key)) {
      return otherwise;
    }
    if (!object.get(key).isString()) {
      throw invalid("%s is %s; it must be a text", key, object.get(key));
    }
    return object.get(key).stringValue();
  }

  List<String> texts(String key) {
    List<String> texts = new ArrayList<>();
    JsonNode value = object.get(key);
    for (JsonNode text : value.isArray() ? value.values() : List.<JsonNode>of()) {
      if (!text.isString()) {
        throw invalid("%s is %s; it must be a list of texts", key, value);
      }
      texts.add(text.stringValue());
    }
    return texts;
  }

  /** The object under a key, as keys of its own. */
  ConfigKeys below(String key) {
    if (!(object.get(key) instanceof ObjectNode below)) {
      throw invalid("%s is %s; it must be an object", key, object.get(key));
    }
    return inner.computeIfAbsent(key, _ -> new ConfigKeys(below, where + ": " + key));
  }

  /** Keys that are there and that nobody asked for, those of inner objects after a dot. */
  List<String> notAskedFor() {
    List<String> keys = new ArrayList<>();
    for (String key : object.propertyNames()) {
      if (inner.containsKey(key)) {
        inner.get(key).notAskedFor().forEach(below -> keys.add(key + "." + below));
      } else if (!askedFor.contains(key)) {
        keys.add(key);
      }
    }
    return keys;
  }

  /** One id or a list of them; empty where the key is absent. */
  Set<Integer> tokens(String key, int vocabulary) {
    Set<Integer> ids = new LinkedHashSet<>();
    if (!present(key)) {
      return ids;
    }
    JsonNode value = object.get(key);
    for (JsonNode id : value.isArray() ? value.values() : List.of(value)) {
      if (!id.isIntegralNumber()
          || !id.canConvertToInt()
          || id.intValue() < 0
          || id.intValue() >= vocabulary) {
        throw invalid("%s is %s; ids go from 0 to %d (vocab_size)", key, value, vocabulary - 1);
      }
      ids.add(id.intValue());
    }
    return ids;
  }

  InvalidInputException invalid(String message, Object... arguments) {
    return new InvalidInputException(where + ": " + message.formatted(arguments));
  }
}
