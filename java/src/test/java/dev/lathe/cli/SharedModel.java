package dev.lathe.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;

/** The trained model and its text that lie beside the checkout, where they do. */
final class SharedModel {
  private static final Path SHARED = Path.of(System.getProperty("lathe.shared"));
  static final Path MODEL = SHARED.resolve("models/stories260k");
  static final Path EXPECTED = SHARED.resolve("models/stories260k.expected.json");
  static final Path TEXT = SHARED.resolve("datasets/tinystories.txt");
  static final String SEPARATOR = "<|endoftext|>";

  private SharedModel() {}

  static void assume() {
    Assumptions.assumeTrue(
        Files.isDirectory(MODEL), "skipped: no model at " + MODEL.toAbsolutePath().normalize());
    Assumptions.assumeTrue(
        Files.isRegularFile(TEXT), "skipped: no text at " + TEXT.toAbsolutePath().normalize());
  }

  /** A copy in a new folder, to be damaged. */
  static Path copyTo(Path folder) throws IOException {
    Files.createDirectories(folder);
    for (String name :
        List.of("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")) {
      Path copy = folder.resolve(name);
      Files.copy(MODEL.resolve(name), copy, StandardCopyOption.REPLACE_EXISTING);
      copy.toFile().setWritable(true);
    }
    return folder;
  }

  /** Generates 8 tokens, with JSON for an answer. */
  static Run generate(Path model, String... more) {
    List<String> all =
        new ArrayList<>(
            List.of("generate", "--model", model.toString(), "--json", "--max-tokens", "8"));
    all.addAll(List.of(more));
    return Run.lathe(all.toArray(String[]::new));
  }

  /** Replaces a piece of a file of the copy, which must be there. */
  static void replace(Path file, String from, String to) throws IOException {
    String text = Files.readString(file);
    if (!text.contains(from)) {
      throw new IllegalArgumentException(file + " does not contain " + from);
    }
    Files.writeString(file, text.replace(from, to));
  }
}
