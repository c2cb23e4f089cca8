package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** {@code --model}. */
final class ModelOption {
  @Option(
      names = {"-m", "--model"},
      paramLabel = "MODEL",
      description =
          "A GGUF file, or the folder of a Hugging Face checkpoint: safetensors, config.json,"
              + " tokenizer.json; or synthetic:SHAPE[:FORMAT], random weights in a public model's"
              + " shape.")
  private String model;

  boolean isGiven() {
    return model != null;
  }

  Path path() {
    return resolve(model, "--model");
  }

  /**
   * The folder that a MODEL names.
   *
   * @throws InvalidInputException says which forms of MODEL there are
   */
  static Path resolve(String model, String option) {
    if (model == null || model.isBlank()) {
      throw new InvalidInputException(
          "no model was given, and this version has no embedded one yet: %s FOLDER names a folder"
                  .formatted(option)
              + " with safetensors weights, config.json and tokenizer.json");
    }
    if (model.equals("embedded") || model.startsWith("embedded:")) {
      throw notYet(model, "brings no model of its own");
    }
    if (model.startsWith("synthetic:")) {
      return Path.of(model);
    }
    Path path = Path.of(model);
    if (!Files.exists(path)) {
      throw new InvalidInputException("%s %s: there is no such folder".formatted(option, model));
    }
    return path;
  }

  private static InvalidInputException notYet(String model, String what) {
    return new InvalidInputException(
        "MODEL '%s': this version %s yet; MODEL is the path of a folder with safetensors weights,"
                .formatted(model, what)
            + " config.json and tokenizer.json");
  }
}
