package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code model.safetensors.index.json}: which tensor lies in which file of the folder.
 *
 * @param shardOf file name by tensor name
 */
record ShardIndex(Path path, Map<String, String> shardOf) {
  static final String NAME = "model.safetensors.index.json";

  /**
   * @throws InvalidInputException if it is broken, or a shard's name is more than a name in this
   *     folder
   */
  static ShardIndex read(Path path) {
    ObjectNode object = StrictJson.readObject(path);
    if (!(object.get("weight_map") instanceof ObjectNode map) || map.isEmpty()) {
      throw new InvalidInputException(
          path + ": weight_map is missing; it must be an object from tensor name to file name");
    }
    Map<String, String> shardOf = new TreeMap<>();
    for (Map.Entry<String, JsonNode> entry : map.properties()) {
      if (!entry.getValue().isString()) {
        throw new InvalidInputException(
            "%s: weight_map[\"%s\"] must be a file name".formatted(path, entry.getKey()));
      }
      String shard = entry.getValue().stringValue();
      requireName(shard, entry.getKey(), path);
      shardOf.put(entry.getKey(), shard);
    }
    return new ShardIndex(path, shardOf);
  }

  private static void requireName(String shard, String tensor, Path path) {
    boolean plain =
        !shard.isBlank()
            && !shard.contains("/")
            && !shard.contains("\\")
            && !shard.contains("\0")
            && !shard.equals(".")
            && !shard.equals("..");
    if (!plain) {
      throw new InvalidInputException(
          "%s: weight_map[\"%s\"] is \"%s\", which leaves the folder; shards are plain file names"
              .formatted(path, tensor, shard));
    }
  }

  /** The files, in the order of their names; each is there. */
  List<Path> shards() {
    Path folder = path.toAbsolutePath().getParent();
    TreeSet<String> names = new TreeSet<>(shardOf.values());
    for (String name : names) {
      if (!Files.isRegularFile(folder.resolve(name))) {
        throw new InvalidInputException(
            "%s names the shard %s, which is missing from %s".formatted(path, name, folder));
      }
    }
    return names.stream().map(folder::resolve).toList();
  }

  /**
   * Holds the index against what the shards really contain.
   *
   * @param fileOf file name by tensor name, from the headers
   */
  void check(Map<String, String> fileOf) {
    shardOf.forEach((tensor, shard) -> {
      String actual = fileOf.get(tensor);
      if (!shard.equals(actual)) {
        throw new InvalidInputException(
            "%s says that tensor %s is in %s; it is %s"
                .formatted(path, tensor, shard, actual == null ? "in no shard" : "in " + actual));
      }
    });
    fileOf.forEach((tensor, file) -> {
      if (!shardOf.containsKey(tensor)) {
        throw new InvalidInputException(
            "%s does not list tensor %s, which is in %s".formatted(path, tensor, file));
      }
    });
  }
}
