package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;
import java.lang.foreign.Arena;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import tools.jackson.databind.node.ObjectNode;

/** A checkpoint over mapped safetensors files. */
final class FolderCheckpoint implements Checkpoint {
  private record Located(SafetensorsFile file, SafetensorsHeader.Entry entry) {}

  private final Path path;
  private final Path folder;
  private final ObjectNode config;
  private final List<SafetensorsFile> files;
  private final Arena arena;
  private final Map<String, Located> located = new HashMap<>();
  private final Map<String, TensorInfo> tensors = new LinkedHashMap<>();
  private final Map<String, Weight> weights = new ConcurrentHashMap<>();
  private final WeightReader weightReader;
  private final Lineage lineage;
  private final Optional<DType> cacheType;
  private String hash;

  FolderCheckpoint(
      Path path,
      Path folder,
      ObjectNode config,
      List<SafetensorsFile> files,
      Optional<ShardIndex> index,
      Arena arena) {
    this.path = path;
    this.folder = folder;
    this.config = config;
    this.files = files;
    this.arena = arena;
    for (SafetensorsFile file : files) {
      for (SafetensorsHeader.Entry entry : file.header().entries()) {
        String name = entry.info().name();
        Located before = located.put(name, new Located(file, entry));
        if (before != null) {
          throw new InvalidInputException(
              "tensor %s is in %s and in %s; it must be in one of them"
                  .formatted(name, before.file().path(), file.path()));
        }
        tensors.put(name, entry.info());
      }
    }
    index.ifPresent(i -> {
      Map<String, String> fileOf = new LinkedHashMap<>();
      located.forEach((name, at) -> fileOf.put(name, fileName(at.file())));
      i.check(fileOf);
    });
    String record = folder.resolve(Checkpoints.CONFIG).toString();
    this.cacheType = StorageRecord.cacheType(record, config);
    this.weightReader =
        new WeightReader(
            tensors, this::tensor, StorageRecord.int8Activations(record, config), arena, where());
    Path lineageFile = folder.resolve(LineageJson.NAME);
    this.lineage = Files.exists(lineageFile) ? LineageJson.read(lineageFile) : Lineage.NONE;
  }

  private static String fileName(SafetensorsFile file) {
    return file.path().getFileName().toString();
  }

  private String where() {
    return files.size() == 1 ? files.getFirst().path().toString() : folder.toString();
  }

  @Override
  public Path path() {
    return path;
  }

  @Override
  public Map<String, TensorInfo> tensors() {
    return Collections.unmodifiableMap(tensors);
  }

  @Override
  public Tensor tensor(String name) {
    Located at = located.get(name);
    if (at == null) {
      throw new InvalidInputException(
          "%s has no tensor %s%s"
              .formatted(
                  where(),
                  name,
                  NearestName.of(name, tensors.keySet())
                      .map(nearest -> "; the nearest name is " + nearest)
                      .orElse(": it holds none at all")));
    }
    return at.file().tensor(at.entry());
  }

  @Override
  public Weight weight(String module) {
    return weights.computeIfAbsent(module, weightReader::read);
  }

  @Override
  public boolean hasWeight(String module) {
    return tensors.containsKey(module + WeightFormat.WEIGHT)
        || tensors.containsKey(module + WeightFormat.BITMAP);
  }

  @Override
  public ObjectNode config() {
    return config.deepCopy();
  }

  @Override
  public Optional<DType> cacheType() {
    return cacheType;
  }

  @Override
  public Optional<Path> file(String name) {
    Path file = folder.resolve(name);
    return Files.isRegularFile(file) ? Optional.of(file) : Optional.empty();
  }

  @Override
  public Lineage lineage() {
    return lineage;
  }

  @Override
  public long fileBytes() {
    return files.stream().mapToLong(file -> file.mapped().byteSize()).sum();
  }

  @Override
  public synchronized String hash() {
    if (hash == null) {
      hash = CheckpointHash.of(folder.resolve(Checkpoints.CONFIG), files);
    }
    return hash;
  }

  /** The header's {@code __metadata__} of all files. */
  Map<String, String> metadata() {
    Map<String, String> all = new LinkedHashMap<>();
    files.forEach(file -> all.putAll(file.header().metadata()));
    return all;
  }

  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  @Override
  public String toString() {
    return path.toString();
  }
}
