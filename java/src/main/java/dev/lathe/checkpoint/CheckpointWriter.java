package dev.lathe.checkpoint;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.function.Supplier;
import tools.jackson.databind.node.ObjectNode;

/**
 * Writes a checkpoint: {@code config.json}, {@code model.safetensors}, {@code lineage.json} and the
 * files that are copied. The tensors are made group by group while they are written, so that one
 * group is in memory at a time. The folder appears whole or not at all.
 */
public final class CheckpointWriter {
  /** What goes with weights of any format: tokenizer, generation defaults, licence. */
  private static final List<String> COMPANIONS =
      List.of(
          "tokenizer.json",
          "tokenizer_config.json",
          "tokenizer.model",
          "special_tokens_map.json",
          "added_tokens.json",
          "vocab.json",
          "merges.txt",
          "chat_template.jinja",
          "generation_config.json",
          "LICENSE",
          "NOTICE");

  private static final Set<String> OWN_FILES =
      Set.of(Checkpoints.CONFIG, Checkpoints.WEIGHTS, ShardIndex.NAME, LineageJson.NAME);

  /** Free space beyond the files themselves, for what the file system keeps beside them. */
  private static final long MARGIN_BYTES = 256 << 10;

  private record Group(List<TensorInfo> infos, Supplier<List<Tensor>> source) {}

  /**
   * What was written.
   *
   * @param weightFileBytes of {@code model.safetensors} as it is on disk, header included
   * @param hash {@link Checkpoint#hash()}
   */
  public record Written(Path folder, long weightFileBytes, String hash) {}

  private final Path folder;
  private final List<Group> groups = new ArrayList<>();
  private final Map<String, Path> copies = new LinkedHashMap<>();

  /** Companions that were no files before, by name. */
  private final Map<String, byte[]> made = new LinkedHashMap<>();

  private final Set<String> int8Activations = new LinkedHashSet<>();
  private boolean int8Cache;
  private ObjectNode config;
  private Lineage lineage = Lineage.NONE;

  private CheckpointWriter(Path folder) {
    this.folder = folder;
  }

  /**
   * Nothing is written before {@link #write}.
   *
   * @throws dev.lathe.error.InvalidInputException if the folder (or a file of that name) exists
   */
  public static CheckpointWriter create(Path folder) {
    OutputFolder.requireNew(folder);
    return new CheckpointWriter(folder);
  }

  /**
   * The configuration; what it says about how the weights are stored is replaced by what is true of
   * the tensors written here, see {@link StorageRecord}.
   */
  public CheckpointWriter config(ObjectNode config) {
    this.config = config.deepCopy();
    return this;
  }

  /**
   * Says of a module with INT8 weights that its activations are INT8 too. Modules of which the
   * configuration said so before need not be named again.
   */
  public CheckpointWriter int8Activations(String module) {
    int8Activations.add(module);
    return this;
  }

  /**
   * Says of the model that its keys and values are to be kept as INT8. Where the configuration said
   * so before, it need not be said again.
   */
  public CheckpointWriter int8Cache() {
    int8Cache = true;
    return this;
  }

  /** A file that goes into the folder as it is. */
  public CheckpointWriter copy(Path file) {
    String name = file.getFileName().toString();
    if (OWN_FILES.contains(name) || copies.putIfAbsent(name, file) != null) {
      throw new IllegalArgumentException(name + " is written already");
    }
    return this;
  }

  /** Tokenizer and what else belongs to a model whatever its weights are, as far as it is there. */
  public CheckpointWriter copyCompanions(Checkpoint from) {
    for (String name : COMPANIONS) {
      Optional<Path> file = from.file(name);
      if (file.isPresent()) {
        copy(file.get());
      } else {
        from.content(name).ifPresent(bytes -> made.put(name, bytes));
      }
    }
    return this;
  }

  public CheckpointWriter lineage(Lineage lineage) {
    this.lineage = lineage;
    return this;
  }

  /**
   * Tensors that are made together and written one after another.
   *
   * @param infos what they will be
   * @param source called once, while writing; gives contiguous host tensors in the order of the
   *     infos, which are dropped when they are written
   */
  public CheckpointWriter group(List<TensorInfo> infos, Supplier<List<Tensor>> source) {
    groups.add(new Group(List.copyOf(infos), source));
    return this;
  }

  /** Bytes of the tensors: what the consumer of {@link #write} counts up to. */
  public long plannedBytes() {
    return groups.stream().flatMap(g -> g.infos().stream()).mapToLong(TensorInfo::bytes).sum();
  }

  /**
   * Writes everything, opens it again to check it, and gives the folder its name.
   *
   * @param bytesDone hears how many bytes of tensors have been written so far
   * @throws LatheException (exit code 1) if the disk is full or fails; nothing is left then
   */
  public Written write(LongConsumer bytesDone) {
    if (config == null) {
      throw new IllegalStateException("a checkpoint needs a configuration");
    }
    List<TensorInfo> infos = groups.stream().flatMap(group -> group.infos().stream()).toList();
    SafetensorsLayout layout = SafetensorsLayout.of(infos);
    byte[] configJson =
        StrictJson.mapper()
            .writerWithDefaultPrettyPrinter()
            .writeValueAsBytes(StorageRecord.into(config, infos, int8Activations, int8Cache));
    byte[] lineageJson = LineageJson.write(lineage);
    try (OutputFolder output = OutputFolder.begin(folder)) {
      long needed = layout.fileBytes() + configJson.length + lineageJson.length + copiedBytes();
      try {
        requireSpace(output.path(), needed);
        FolderFiles files = new FolderFiles(output);
        files.write(Checkpoints.CONFIG, configJson);
        files.write(LineageJson.NAME, lineageJson);
        for (Map.Entry<String, Path> copy : copies.entrySet()) {
          files.copy(copy.getKey(), copy.getValue());
        }
        for (Map.Entry<String, byte[]> companion : made.entrySet()) {
          files.write(companion.getKey(), companion.getValue());
        }
        writeWeights(files, layout, bytesDone);
        Written written = check(output.path());
        output.commit();
        return written;
      } catch (IOException e) {
        throw failure(output, needed, e);
      }
    }
  }

  private void writeWeights(FolderFiles files, SafetensorsLayout layout, LongConsumer bytesDone)
      throws IOException {
    try (FolderFiles.Output weights = files.create(Checkpoints.WEIGHTS)) {
      weights.write(layout.header(), layout.header().byteSize(), 0);
      long done = 0;
      for (Group group : groups) {
        List<Tensor> tensors = group.source().get();
        requireMatch(group.infos(), tensors);
        for (int i = 0; i < tensors.size(); i++) {
          TensorInfo info = group.infos().get(i);
          weights.write(tensors.get(i).memory(), info.bytes(), layout.beginOf().get(info.name()));
          done += info.bytes();
          bytesDone.accept(done);
        }
      }
      weights.force();
    }
  }

  private static void requireMatch(List<TensorInfo> infos, List<Tensor> tensors) {
    if (infos.size() != tensors.size()) {
      throw new IllegalArgumentException(
          "%d tensors announced, %d given, from %s".formatted(infos.size(), tensors.size(), infos));
    }
    for (int i = 0; i < infos.size(); i++) {
      TensorInfo info = infos.get(i);
      Tensor tensor = tensors.get(i);
      boolean same =
          info.dtype() == tensor.dtype()
              && java.util.Arrays.equals(info.dimensions(), tensor.shape())
              && tensor.isContiguous();
      if (!same) {
        throw new IllegalArgumentException(
            "%s was announced as contiguous %s%s, but %s was given"
                .formatted(info.name(), info.dtype(), info.shape(), tensor));
      }
    }
  }

  /** Opens what was written, as any reader will. */
  private Written check(Path written) {
    try (Checkpoint checkpoint = Checkpoints.open(written)) {
      return new Written(folder, checkpoint.fileBytes(), checkpoint.hash());
    }
  }

  private long copiedBytes() {
    long bytes = made.values().stream().mapToLong(content -> content.length).sum();
    for (Path file : copies.values()) {
      try {
        bytes += Files.size(file);
      } catch (IOException e) {
        throw new InvalidInputException(file + " cannot be read: " + e.getMessage(), e);
      }
    }
    return bytes;
  }

  private void requireSpace(Path at, long needed) throws IOException {
    long free = Files.getFileStore(at).getUsableSpace();
    if (free < needed + MARGIN_BYTES) {
      throw diskFull(needed, free, null);
    }
  }

  private LatheException failure(OutputFolder output, long needed, IOException e) {
    String message = String.valueOf(e.getMessage());
    if (message.contains("No space left") || message.contains("quota")) {
      long free;
      try {
        free = Files.getFileStore(output.path()).getUsableSpace();
      } catch (IOException secondary) {
        e.addSuppressed(secondary);
        free = 0;
      }
      return diskFull(needed, free, e);
    }
    return OutputFolder.failure(folder, e);
  }

  private LatheException diskFull(long needed, long free, Throwable cause) {
    return new LatheException(
        LatheException.FAILED,
        "%s cannot be written: the disk is full. It needs %,d bytes, %,d are free; nothing is left of it"
            .formatted(folder, needed, free),
        cause);
  }
}
