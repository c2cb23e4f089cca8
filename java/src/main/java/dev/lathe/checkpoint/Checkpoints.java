package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Stream;
import tools.jackson.databind.node.ObjectNode;

/** Opens checkpoints. */
public final class Checkpoints {
  /** The configuration beside the weights. */
  public static final String CONFIG = "config.json";

  /** The weights, where they are one file. */
  public static final String WEIGHTS = "model.safetensors";

  /** How the name of a GGUF file ends. */
  public static final String GGUF = ".gguf";

  private Checkpoints() {}

  /**
   * Opens a folder with {@code config.json} and {@code model.safetensors} (or {@code
   * model.safetensors.index.json} and its shards), or one {@code .safetensors} file of such a
   * folder, or a {@code .gguf} file, which holds everything; or makes the random model that {@code
   * synthetic:SHAPE[:FORMAT]} names.
   *
   * @throws InvalidInputException if anything is missing or broken; names the file and the place
   */
  public static Checkpoint open(Path path) {
    if (SyntheticCheckpoint.isName(path.toString())) {
      return SyntheticCheckpoint.open(path.toString());
    }
    if (!Files.exists(path)) {
      throw new InvalidInputException(
          path + " does not exist; a model is a folder with config.json and model.safetensors");
    }
    boolean isFolder = Files.isDirectory(path);
    if (!isFolder && path.toString().toLowerCase(Locale.ROOT).endsWith(GGUF)) {
      return openGguf(path);
    }
    if (!isFolder && !path.toString().toLowerCase(Locale.ROOT).endsWith(".safetensors")) {
      throw new InvalidInputException(
          path
              + " is not a checkpoint that Lathe reads: it reads a folder with config.json and"
              + " model.safetensors, a .safetensors file in one, or a .gguf file");
    }
    Path folder = isFolder ? path : path.toAbsolutePath().getParent();
    ObjectNode config = readConfig(folder);
    Optional<ShardIndex> index = isFolder ? index(folder) : Optional.empty();
    List<Path> files =
        index
            .map(ShardIndex::shards)
            .orElseGet(() -> List.of(isFolder ? folder.resolve(WEIGHTS) : path));
    Arena arena = Arena.ofShared();
    try {
      List<SafetensorsFile> opened =
          files.stream().map(file -> SafetensorsFile.open(file, arena)).toList();
      return new FolderCheckpoint(path, folder, config, opened, index, arena);
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  private static Checkpoint openGguf(Path path) {
    Arena arena = Arena.ofShared();
    try {
      return new GgufCheckpoint(GgufFile.open(path, arena), arena);
    } catch (RuntimeException | Error e) {
      arena.close();
      throw e;
    }
  }

  private static ObjectNode readConfig(Path folder) {
    Path config = folder.resolve(CONFIG);
    if (!Files.isRegularFile(config)) {
      throw new InvalidInputException(
          "%s has no %s; a model is a folder with %s and %s"
              .formatted(folder, CONFIG, CONFIG, WEIGHTS));
    }
    return StrictJson.readObject(config);
  }

  /** The index of the shards; none where the folder has one file of weights. */
  private static Optional<ShardIndex> index(Path folder) {
    if (Files.exists(folder.resolve(WEIGHTS))) {
      return Optional.empty();
    }
    Path index = folder.resolve(ShardIndex.NAME);
    if (Files.exists(index)) {
      return Optional.of(ShardIndex.read(index));
    }
    throw new InvalidInputException(
        "%s has neither %s nor %s%s".formatted(folder, WEIGHTS, ShardIndex.NAME, others(folder)));
  }

  private static String others(Path folder) {
    try (Stream<Path> list = Files.list(folder)) {
      return list.map(file -> file.getFileName().toString())
          .filter(name -> name.endsWith(".safetensors"))
          .sorted()
          .findFirst()
          .map(name -> "; to open " + name + ", pass its path")
          .orElse("");
    } catch (IOException e) {
      throw new InvalidInputException(folder + " cannot be read: " + e.getMessage(), e);
    }
  }
}
