package dev.lathe.gpucheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What is done, a file each: whole or not there, so that a check that was stopped goes on where it
 * was. One folder for a commit on a device.
 */
final class Store {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Path folder;

  Store(Path folder) throws IOException {
    this.folder = Files.createDirectories(folder);
  }

  Path folder() {
    return folder;
  }

  Optional<Outcome> find(Part part) throws IOException {
    Path file = file(part.id());
    return Files.exists(file)
        ? Optional.of(Outcome.of(JSON.readTree(Files.readString(file))))
        : Optional.empty();
  }

  void put(Outcome outcome) throws IOException {
    write(file(outcome.id()), outcome.json());
  }

  private Path file(String id) {
    return folder.resolve(id.replaceAll("[^A-Za-z0-9._-]", "_") + ".json");
  }

  /** Where a part may write; empty. */
  Path scratch(Part part) throws IOException {
    Path scratch = folder.resolve("scratch").resolve(part.id().replaceAll("[^A-Za-z0-9._-]", "_"));
    if (Files.exists(scratch)) {
      try (var files = Files.walk(scratch)) {
        for (Path file : files.sorted(java.util.Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
    return Files.createDirectories(scratch);
  }

  static void write(Path file, JsonNode json) throws IOException {
    Path part = file.resolveSibling(file.getFileName() + ".part");
    Files.writeString(part, json.toPrettyString() + "\n");
    Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }
}
