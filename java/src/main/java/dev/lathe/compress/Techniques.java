package dev.lathe.compress;

import dev.lathe.error.InvalidInputException;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import tools.jackson.databind.node.ObjectNode;

/**
 * Techniques as a recipe writes them. Strict: an unknown technique, key or value, a missing key and
 * a value of another type are each refused with what is allowed.
 *
 * <pre>{@code
 * {technique: quantize, scheme: w8a16, method: rtn, symmetric: true}
 * {technique: quantize, scheme: kv8}
 * {technique: prune, pattern: unstructured, method: magnitude, sparsity: 0.5, scope: layer,
 *  embedding: false}
 * }</pre>
 *
 * <p>Required: {@code technique}; {@code scheme} to quantize, w8a16, w8a8 or kv8; {@code sparsity}
 * to prune. The other values above are the defaults.
 */
public final class Techniques {
  /** What {@code quantize} can do. */
  public static final List<String> SCHEMES = List.of("w8a16", "w8a8", "kv8");

  private static final List<String> NAMES = List.of("quantize", "prune");

  private Techniques() {}

  /** The technique that a step names. */
  public static String name(String where, ObjectNode step) {
    return new StepFields(where, "a step", step).choice("technique", Optional.empty(), NAMES);
  }

  /**
   * The technique of one step.
   *
   * @param where file, line and column, for messages
   * @param step with the key {@code technique}
   * @throws InvalidInputException names the place, the key, and what is allowed
   */
  public static Technique parse(String where, ObjectNode step) {
    String name = name(where, step);
    StepFields fields = new StepFields(where, "'" + name + "'", step);
    return name.equals("quantize") ? quantize(fields) : prune(fields);
  }

  private static Technique quantize(StepFields step) {
    step.allow("technique", "scheme", "method", "symmetric");
    String scheme = step.choice("scheme", Optional.empty(), SCHEMES);
    step.choice("method", Optional.of("rtn"), List.of("rtn"));
    boolean symmetric = step.flag("symmetric", true);
    if (!symmetric && isSymmetric(scheme)) {
      throw step.error(
          "'symmetric' is false; it must be true: %s has no zero points".formatted(scheme));
    }
    return quantize(scheme, symmetric);
  }

  /** True of schemes that have no asymmetric form. */
  public static boolean isSymmetric(String scheme) {
    return !scheme.equals("w8a16");
  }

  /**
   * The technique of a scheme.
   *
   * @param scheme one of {@link #SCHEMES}
   * @param symmetric true where the scheme {@link #isSymmetric}
   */
  public static Technique quantize(String scheme, boolean symmetric) {
    return switch (scheme) {
      case "w8a16" -> new QuantizeInt8(symmetric);
      case "w8a8" -> QuantizeInt8.withActivations();
      case "kv8" -> new QuantizeKeysAndValues();
      default -> throw new IllegalArgumentException("there is no scheme " + scheme);
    };
  }

  /**
   * The pruning of a step.
   *
   * @param elsewhere keys of the step that somebody else reads
   */
  public static MagnitudePrune prune(StepFields step, String... elsewhere) {
    step.allow(
        Stream.concat(
                Stream.of("technique", "pattern", "method", "sparsity", "scope", "embedding"),
                Stream.of(elsewhere))
            .toArray(String[]::new));
    step.choice("pattern", Optional.of("unstructured"), List.of("unstructured"));
    step.choice("method", Optional.of("magnitude"), List.of("magnitude"));
    String scope = step.choice("scope", Optional.of("layer"), List.of("layer", "global"));
    return new MagnitudePrune(
        step.share("sparsity"),
        Scope.valueOf(scope.toUpperCase(Locale.ROOT)),
        step.flag("embedding", false));
  }
}
