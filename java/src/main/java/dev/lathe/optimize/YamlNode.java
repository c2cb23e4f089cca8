package dev.lathe.optimize;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.TokenStreamLocation;
import tools.jackson.dataformat.yaml.YAMLFactory;
import tools.jackson.dataformat.yaml.YAMLParser;

/**
 * YAML with the place of every value, so that a mistake in a recipe is reported with its line and
 * column. Binding to classes loses the places, and lets the last of two equal keys win.
 */
sealed interface YamlNode {
  /** Where it starts. */
  Place place();

  /** What a message calls it: {@code a list}. */
  String kind();

  /** {@code file:line:column}, as editors and compilers write it. */
  record Place(String file, int line, int column) {
    InvalidInputException error(String message) {
      return new InvalidInputException(this + ": " + message);
    }

    @Override
    public String toString() {
      return file + ":" + line + ":" + column;
    }
  }

  /** A key with its own place, which is where an unknown key is reported. */
  record Entry(Place keyPlace, YamlNode value) {}

  record Mapping(Place place, Map<String, Entry> entries) implements YamlNode {
    @Override
    public String kind() {
      return "a mapping";
    }
  }

  record Sequence(Place place, List<YamlNode> items) implements YamlNode {
    @Override
    public String kind() {
      return "a list";
    }
  }

  /** A string, a {@code Long}, a {@code Double}, a {@code Boolean}, or null. */
  record Scalar(Place place, Object value) implements YamlNode {
    @Override
    public String kind() {
      return switch (value) {
        case null -> "nothing";
        case String text -> "the text '" + text + "'";
        default -> value.toString();
      };
    }
  }

  /** Recipes are written by hand: a file beyond this is not one. */
  long MAX_BYTES = 1 << 20;

  /**
   * @throws InvalidInputException if the file is missing, not UTF-8, not YAML, holds a key twice or
   *     more than one document; names the line and column
   */
  static YamlNode read(Path file) {
    String text;
    try {
      if (Files.isDirectory(file)) {
        throw new InvalidInputException(file + " is a folder: a recipe is a YAML file");
      }
      if (Files.size(file) > MAX_BYTES) {
        throw new InvalidInputException(
            file + " has " + Files.size(file) + " bytes: a recipe has at most " + MAX_BYTES);
      }
      text = Files.readString(file);
    } catch (NoSuchFileException e) {
      throw new InvalidInputException(file + " does not exist: it was named as the recipe", e);
    } catch (CharacterCodingException e) {
      throw new InvalidInputException(file + " is not UTF-8 text: a recipe is a YAML file", e);
    } catch (IOException e) {
      throw new InvalidInputException("cannot read the recipe " + file + ": " + e.getMessage(), e);
    }
    return parse(file.toString(), text);
  }

  /**
   * @param file what messages call it
   */
  static YamlNode parse(String file, String text) {
    try (JsonParser parser =
        YAMLFactory.builder().build().createParser(ObjectReadContext.empty(), text)) {
      JsonToken first = parser.nextToken();
      if (first == null) {
        throw new Place(file, 1, 1).error("the recipe is empty: it needs 'name' and 'steps'");
      }
      YamlNode root = node(parser, file);
      if (parser.nextToken() != null) {
        throw place(parser, file).error("a second YAML document: a recipe is one");
      }
      return root;
    } catch (JacksonException e) {
      TokenStreamLocation at = e.getLocation();
      Place place =
          at == null ? new Place(file, 1, 1) : new Place(file, at.getLineNr(), at.getColumnNr());
      throw new InvalidInputException(
          place + ": not valid YAML: " + e.getOriginalMessage().lines().findFirst().orElse(""), e);
    }
  }

  private static YamlNode node(JsonParser parser, String file) {
    Place place = place(parser, file);
    boolean alias = parser instanceof YAMLParser yaml && yaml.isCurrentAlias();
    if (alias || parser.getObjectId() != null || parser.getTypeId() != null) {
      throw place.error("aliases and tags are not used in recipes");
    }
    return switch (parser.currentToken()) {
      case START_OBJECT -> mapping(parser, file, place);
      case START_ARRAY -> {
        List<YamlNode> items = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
          items.add(node(parser, file));
        }
        yield new Sequence(place, items);
      }
      case VALUE_STRING -> new Scalar(place, parser.getString());
      case VALUE_NUMBER_INT -> {
        if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
          throw place.error(parser.getString() + " is too large a number");
        }
        yield new Scalar(place, parser.getLongValue());
      }
      case VALUE_NUMBER_FLOAT -> new Scalar(place, parser.getDoubleValue());
      case VALUE_TRUE -> new Scalar(place, true);
      case VALUE_FALSE -> new Scalar(place, false);
      case VALUE_NULL -> new Scalar(place, null);
      default -> throw place.error("not a value that a recipe can hold");
    };
  }

  private static YamlNode mapping(JsonParser parser, String file, Place place) {
    Map<String, Entry> entries = new LinkedHashMap<>();
    while (parser.nextToken() != JsonToken.END_OBJECT) {
      Place keyPlace = place(parser, file);
      String key = parser.currentName();
      Entry before = entries.get(key);
      if (before != null) {
        throw keyPlace.error(
            "the key '%s' stands twice: first in line %d".formatted(key, before.keyPlace().line()));
      }
      parser.nextToken();
      entries.put(key, new Entry(keyPlace, node(parser, file)));
    }
    return new Mapping(place, entries);
  }

  private static Place place(JsonParser parser, String file) {
    TokenStreamLocation at = parser.currentTokenLocation();
    return new Place(file, at.getLineNr(), at.getColumnNr());
  }
}
