package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** Reads recipes: strict YAML, or one of those that are built in. */
public final class Recipes {
  /** From the most careful to the most daring. */
  public static final List<String> BUILT_IN = List.of("conservative", "balanced", "aggressive");

  private static final int MAX_STEPS = 100;

  private Recipes() {}

  /**
   * @param nameOrPath one of {@link #BUILT_IN}, or a file
   * @throws InvalidInputException names the file, the line and column, and what is allowed there
   */
  public static Recipe load(String nameOrPath) {
    if (BUILT_IN.contains(nameOrPath)) {
      String text = builtIn(nameOrPath);
      YamlNode root = YamlNode.parse("built-in recipe " + nameOrPath, text);
      return read(root, "built in", Path.of(""), sha256(text.getBytes(StandardCharsets.UTF_8)));
    }
    Path file = Path.of(nameOrPath);
    if (!Files.exists(file)) {
      throw new InvalidInputException(
          "no recipe '%s': it is neither a file nor one of %s"
              .formatted(nameOrPath, String.join(", ", BUILT_IN)));
    }
    YamlNode root = YamlNode.read(file);
    Path folder = file.toAbsolutePath().getParent();
    try {
      return read(root, file.toString(), folder, sha256(Files.readAllBytes(file)));
    } catch (IOException e) {
      throw new InvalidInputException("cannot read the recipe " + file + ": " + e.getMessage(), e);
    }
  }

  private static Recipe read(YamlNode root, String source, Path folder, String hash) {
    YamlFields fields =
        new YamlFields(
            root,
            "the recipe",
            List.of("name", "max_loss", "steps", "generation", "evaluation", "cost", "targets"));
    fields.require("name");
    return new Recipe(
        fields.text("name").orElseThrow(),
        source,
        fields.percent("max_loss"),
        steps(fields.require("steps")),
        generation(fields),
        evaluation(fields, folder),
        cost(fields),
        targets(fields),
        hash);
  }

  private static List<Recipe.Step> steps(YamlNode node) {
    if (!(node instanceof YamlNode.Sequence(YamlNode.Place place, List<YamlNode> items))) {
      throw node.place().error("'steps' is " + node.kind() + ": it must be a list of techniques");
    }
    if (items.isEmpty() || items.size() > MAX_STEPS) {
      throw place.error(
          "'steps' has %d entries: it must have 1 to %d".formatted(items.size(), MAX_STEPS));
    }
    List<Recipe.Step> steps = new ArrayList<>();
    for (YamlNode item : items) {
      if (!(item instanceof YamlNode.Mapping(YamlNode.Place at, Map<String, YamlNode.Entry> keys))
          || !keys.containsKey("technique")) {
        throw item.place()
            .error(
                "a step is keys with values that start with 'technique', such as"
                    + " {technique: quantize, scheme: w8a16}");
      }
      steps.add(new Recipe.Step(at.toString(), object(keys)));
    }
    return steps;
  }

  private static Recipe.Speed generation(YamlFields recipe) {
    if (!recipe.has("generation")) {
      return new Recipe.Speed(true, 8, 256, 3, Optional.empty());
    }
    YamlFields fields =
        new YamlFields(
            recipe.require("generation"),
            "'generation'",
            List.of("kv_cache", "batch", "tokens", "repetitions", "prompt"));
    Recipe.Speed speed =
        new Recipe.Speed(
            fields.flag("kv_cache", true),
            fields.integer("batch", 1, 4096).orElse(8),
            fields.integer("tokens", 2, 1 << 20).orElse(256),
            fields.integer("repetitions", 1, 1000).orElse(3),
            fields.text("prompt"));
    if (speed.batch() > 1 && !speed.kvCache()) {
      throw fields
          .place("batch")
          .error("'batch' above 1 needs 'kv_cache: true': a batch is generated with the cache");
    }
    return speed;
  }

  private static Recipe.Data evaluation(YamlFields recipe, Path folder) {
    if (!recipe.has("evaluation")) {
      return new Recipe.Data(Optional.empty(), Optional.empty(), OptionalInt.empty());
    }
    YamlFields fields =
        new YamlFields(
            recipe.require("evaluation"),
            "'evaluation'",
            List.of("text", "separator", "max_documents"));
    Optional<Integer> documents = fields.integer("max_documents", 1, Integer.MAX_VALUE);
    return new Recipe.Data(
        fields.text("text").map(text -> resolve(folder, text, fields.place("text"))),
        fields.text("separator"),
        documents.isPresent() ? OptionalInt.of(documents.get()) : OptionalInt.empty());
  }

  private static Path resolve(Path folder, String file, YamlNode.Place place) {
    try {
      return folder.resolve(file);
    } catch (InvalidPathException e) {
      throw place.error("'text' is not the name of a file: " + e.getReason());
    }
  }

  private static Recipe.Cost cost(YamlFields recipe) {
    if (!recipe.has("cost")) {
      return new Recipe.Cost(OptionalDouble.empty(), "USD", OptionalDouble.empty());
    }
    YamlFields fields =
        new YamlFields(
            recipe.require("cost"),
            "'cost'",
            List.of("price_per_hour", "currency", "queries_per_day"));
    return new Recipe.Cost(
        fields.number("price_per_hour"),
        fields.text("currency").orElse("USD"),
        fields.number("queries_per_day"));
  }

  private static Map<Target, Double> targets(YamlFields recipe) {
    Map<Target, Double> targets = new EnumMap<>(Target.class);
    if (recipe.has("targets")) {
      YamlFields fields =
          new YamlFields(
              recipe.require("targets"),
              "'targets'",
              Arrays.stream(Target.values()).map(Target::key).toList());
      for (Target target : Target.values()) {
        fields.number(target.key()).ifPresent(wanted -> targets.put(target, wanted));
      }
    }
    return targets;
  }

  private static ObjectNode object(Map<String, YamlNode.Entry> entries) {
    ObjectNode object = JsonNodeFactory.instance.objectNode();
    entries.forEach((key, entry) -> {
      switch (entry.value()) {
        case YamlNode.Mapping nested -> object.set(key, object(nested.entries()));
        case YamlNode.Sequence list -> object.set(key, array(list));
        case YamlNode.Scalar scalar -> object.set(key, scalar(scalar));
      }
    });
    return object;
  }

  private static ArrayNode array(YamlNode.Sequence list) {
    ArrayNode array = JsonNodeFactory.instance.arrayNode();
    for (YamlNode item : list.items()) {
      switch (item) {
        case YamlNode.Mapping nested -> array.add(object(nested.entries()));
        case YamlNode.Sequence inner -> array.add(array(inner));
        case YamlNode.Scalar scalar -> array.add(scalar(scalar));
      }
    }
    return array;
  }

  private static JsonNode scalar(YamlNode.Scalar scalar) {
    return switch (scalar.value()) {
      case String text -> JsonNodeFactory.instance.stringNode(text);
      case Long number -> JsonNodeFactory.instance.numberNode(number.longValue());
      case Double number -> JsonNodeFactory.instance.numberNode(number.doubleValue());
      case Boolean flag -> JsonNodeFactory.instance.booleanNode(flag);
      case null, default -> JsonNodeFactory.instance.nullNode();
    };
  }

  private static String builtIn(String name) {
    String resource = "recipes/" + name + ".yaml";
    try (InputStream in = Recipes.class.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IllegalStateException("resource " + resource + " is not packed");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String sha256(byte[] bytes) {
    try {
      return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
