package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.files.CalibrationData;
import java.nio.file.Files;
import java.nio.file.Path;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Option;

/** {@code --model}. */
final class ModelOption {
  private static final Logger log = LoggerFactory.getLogger(ModelOption.class);

  @Option(
      names = {"-m", "--model"},
      paramLabel = "MODEL",
      description =
          "The folder of a Hugging Face checkpoint: safetensors, config.json, tokenizer.json; or a"
              + " GGUF file; or synthetic:SHAPE[:FORMAT], random weights in a public model's shape;"
              + " or embedded, the small trained model that comes with Lathe. Default: embedded.")
  private String model;

  boolean isGiven() {
    return model != null;
  }

  Path path() {
    return model == null ? CalibrationData.embeddedModel() : resolve(model, "--model");
  }

  /**
   * What a MODEL names: a path, or one of the names that are none. Those win over a file of that
   * name in the working folder, whose path is {@code ./embedded}.
   *
   * @throws InvalidInputException says which forms of MODEL there are
   */
  static Path resolve(String model, String option) {
    if (model.isBlank()) {
      throw new InvalidInputException(
          ("%s '': must name a model: a folder with safetensors weights, config.json and"
                  + " tokenizer.json, a .gguf file, synthetic:SHAPE, or embedded")
              .formatted(option));
    }
    if (model.equals(CalibrationData.EMBEDDED)) {
      if (Files.exists(Path.of(model))) {
        log.warn(
            "{} {}: the model that comes with Lathe; what is called so here is ./{}",
            option,
            model,
            model);
      }
      return CalibrationData.embeddedModel();
    }
    if (model.startsWith(CalibrationData.EMBEDDED + ":")) {
      throw new InvalidInputException(
          "%s %s: this version brings one model of its own, %s"
              .formatted(option, model, CalibrationData.EMBEDDED));
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
}
