package dev.lathe.gpucheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What is done, a file each: whole or not there, so that a check that was stopped goes on where it
 * was. One folder for a commit on a device; those of other commits say how long parts take.
 */
final class Store {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Path folder;
  private final String device;

  /**
   * @param device start of the names of this device's folders
   */
  Store(Path work, String device, String commit) throws IOException {
    this.device = device + "-";
    this.folder = Files.createDirectories(work.resolve(device + "-" + commit));
  }

  Path folder() {
    return folder;
  }

  Optional<Outcome> find(Part part) throws IOException {
    return read(file(folder, part));
  }

  private static Optional<Outcome> read(Path file) throws IOException {
    return Files.exists(file)
        ? Optional.of(Outcome.of(JSON.readTree(Files.readString(file))))
        : Optional.empty();
  }

  void put(Outcome outcome) throws IOException {
    write(folder.resolve(safe(outcome.id()) + ".json"), outcome.json());
  }

  ItemLog items(Part part) throws IOException {
    return new ItemLog(folder.resolve(safe(part.id()) + ".items.jsonl"));
  }

  /** As if it had never been run. */
  void forget(Part part) throws IOException {
    Files.deleteIfExists(file(folder, part));
    Files.deleteIfExists(folder.resolve(safe(part.id()) + ".items.jsonl"));
  }

  /** How long a part took when it last ran to its end on this device; else what it declares. */
  Duration expected(Part part) throws IOException {
    List<Path> files;
    try (var folders = Files.list(folder.resolveSibling("."))) {
      files =
          folders
              .filter(f -> f.getFileName().toString().startsWith(device))
              .map(f -> file(f, part))
              .filter(Files::exists)
              .sorted(Comparator.comparing(Store::modified).reversed())
              .toList();
    }
    for (Path file : files) {
      Optional<Outcome> outcome = read(file);
      if (outcome.isPresent()
          && (outcome.get().status() == Outcome.Status.PASSED
              || outcome.get().status() == Outcome.Status.FAILED)) {
        return Duration.ofMillis(Math.round(outcome.get().seconds() * 1000));
      }
    }
    return part.time().expected();
  }

  private static FileTime modified(Path file) {
    try {
      return Files.getLastModifiedTime(file);
    } catch (IOException e) {
      return FileTime.fromMillis(0); // it went meanwhile: the oldest
    }
  }

  private static Path file(Path folder, Part part) {
    return folder.resolve(safe(part.id()) + ".json");
  }

  /** A file's name; no two parts have the same. */
  private static String safe(String id) {
    return Pattern.compile("[^A-Za-z0-9._-]")
        .matcher(id)
        .replaceAll(match -> "%%%04x".formatted((int) match.group().charAt(0)));
  }

  /** Where a part may write; empty. */
  Path scratch(Part part) throws IOException {
    Path scratch = folder.resolve("scratch").resolve(safe(part.id()));
    if (Files.exists(scratch)) {
      try (var files = Files.walk(scratch)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
    return Files.createDirectories(scratch);
  }

  static void write(Path file, JsonNode json) throws IOException {
    write(file, json.toPrettyString() + "\n");
  }

  static void write(Path file, String text) throws IOException {
    Path part = file.resolveSibling(file.getFileName() + ".part");
    Files.writeString(part, text);
    Files.move(part, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }
}
