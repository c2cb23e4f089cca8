package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;

/** The keys of one mapping, each read as the type that it must have. */
final class YamlFields {
  private final YamlNode.Mapping mapping;
  private final String what;

  /**
   * @param what the mapping is called in messages: {@code the recipe}
   * @param allowed every key that may stand in it
   * @throws InvalidInputException if the node is no mapping or has another key
   */
  YamlFields(YamlNode node, String what, List<String> allowed) {
    this.what = what;
    if (!(node instanceof YamlNode.Mapping found)) {
      throw node.place()
          .error(
              "%s is %s, not keys with values; allowed: %s"
                  .formatted(what, node.kind(), String.join(", ", allowed)));
    }
    this.mapping = found;
    found
        .entries()
        .forEach((key, entry) -> {
          if (!allowed.contains(key)) {
            throw entry
                .keyPlace()
                .error(
                    "unknown key '%s' in %s%s; allowed: %s"
                        .formatted(key, what, guess(key, allowed), String.join(", ", allowed)));
          }
        });
  }

  boolean has(String key) {
    return mapping.entries().containsKey(key);
  }

  /** Where the value of a key is; the mapping itself where the key is absent. */
  YamlNode.Place place(String key) {
    return find(key).map(YamlNode::place).orElse(mapping.place());
  }

  Optional<YamlNode> find(String key) {
    return Optional.ofNullable(mapping.entries().get(key)).map(YamlNode.Entry::value);
  }

  YamlNode require(String key) {
    return find(key).orElseThrow(() -> mapping.place().error("%s lacks '%s'".formatted(what, key)));
  }

  Optional<String> text(String key) {
    return find(key)
        .map(node -> {
          if (node instanceof YamlNode.Scalar(YamlNode.Place place, String text)) {
            if (text.isEmpty()) {
              throw place.error("'%s' is empty".formatted(key));
            }
            return text;
          }
          throw wrong(key, node, "a text");
        });
  }

  boolean flag(String key, boolean absent) {
    return find(key)
        .map(node -> {
          if (node instanceof YamlNode.Scalar(YamlNode.Place _, Boolean flag)) {
            return flag;
          }
          throw wrong(key, node, "true or false");
        })
        .orElse(absent);
  }

  Optional<Integer> integer(String key, int from, int to) {
    return find(key)
        .map(node -> {
          if (node instanceof YamlNode.Scalar(YamlNode.Place _, Long number)
              && number >= from
              && number <= to) {
            return number.intValue();
          }
          throw wrong(key, node, "a whole number from %d to %d".formatted(from, to));
        });
  }

  /** A finite number that is 0 or more. */
  OptionalDouble number(String key) {
    Optional<Double> number =
        find(key)
            .map(node -> {
              if (node instanceof YamlNode.Scalar(YamlNode.Place _, Object value)
                  && value instanceof Number given
                  && Double.isFinite(given.doubleValue())
                  && given.doubleValue() >= 0) {
                return given.doubleValue();
              }
              throw wrong(key, node, "a number that is 0 or more");
            });
    return number.isPresent() ? OptionalDouble.of(number.get()) : OptionalDouble.empty();
  }

  /** {@code 2%} as 2. A bare number is refused: 0.02 and 2 would both be plausible. */
  double percent(String key) {
    YamlNode node = require(key);
    if (node instanceof YamlNode.Scalar(YamlNode.Place _, String text)) {
      Optional<Double> percent = Percent.parse(text);
      if (percent.isPresent()) {
        return percent.get();
      }
    }
    throw wrong(key, node, "a percentage with its sign, such as 2%");
  }

  private static InvalidInputException wrong(String key, YamlNode node, String right) {
    return node.place().error("'%s' is %s: it must be %s".formatted(key, node.kind(), right));
  }

  /** The allowed key that a typing mistake probably meant. */
  private static String guess(String key, List<String> allowed) {
    return allowed.stream()
        .filter(candidate -> distance(key, candidate) <= 2)
        .findFirst()
        .map(candidate -> " (did you mean '" + candidate + "'?)")
        .orElse("");
  }

  /** Levenshtein 1966: insertions, deletions and substitutions. */
  private static int distance(String a, String b) {
    int[] row = new int[b.length() + 1];
    for (int j = 0; j <= b.length(); j++) {
      row[j] = j;
    }
    for (int i = 1; i <= a.length(); i++) {
      int diagonal = row[0];
      row[0] = i;
      for (int j = 1; j <= b.length(); j++) {
        int substitute = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
        diagonal = row[j];
        row[j] = Math.min(substitute, Math.min(row[j], row[j - 1]) + 1);
      }
    }
    return row[b.length()];
  }
}
