package dev.lathe.optimize;

import dev.lathe.compress.Technique;
import dev.lathe.compress.Techniques;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunJson;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import tools.jackson.databind.node.ObjectNode;

/**
 * A request with its recipe, both checked: everything that the run will do, before it does
 * anything.
 */
record Plan(
    OptimizeRequest request,
    Recipe recipe,
    double maxLossPercent,
    List<Step> steps,
    Path text,
    String textHash,
    Optional<String> separator,
    OptionalInt maxDocuments,
    OptionalDouble pricePerHour,
    Map<Target, Double> targets,
    Optional<Training> training) {

  /**
   * @param name of its stage and folder, unique in the run: {@code quantize-w8a16}
   * @param technique what is done; where nothing can be trained, of a step that wants to train too
   * @param training the same technique with training
   */
  record Step(String name, Technique technique, Optional<TrainedPruning> training) {
    /** What the recipe asks for, in words. */
    String description() {
      return training.map(TrainedPruning::description).orElseGet(technique::description);
    }
  }

  /**
   * Text to fine-tune on.
   *
   * @param hash SHA-256 of the file
   */
  record Training(Path text, String hash, Optional<String> separator) {}

  /**
   * Puts request and recipe together.
   *
   * @throws InvalidInputException if a step, a target or the evaluation text is not usable
   */
  static Plan of(OptimizeRequest request) {
    Recipe recipe = Recipes.load(request.recipe());
    double maxLoss = request.maxLossPercent().orElse(recipe.maxLossPercent());
    if (!(maxLoss >= 0 && Double.isFinite(maxLoss))) {
      throw new InvalidInputException(
          "the largest loss is %s: it must be a percentage of 0 or more, such as 2%%"
              .formatted(maxLoss));
    }
    Path text =
        request
            .text()
            .or(() -> recipe.evaluation().text())
            .orElseThrow(() ->
                new InvalidInputException(
                    "nothing to measure quality on: the recipe '%s' names no evaluation text;"
                            .formatted(recipe.name())
                        + " give one with --text FILE (and --separator where it holds several"
                        + " documents)"));
    // A separator belongs to its text: one from the recipe is not used on another text.
    boolean ownText = request.text().isPresent();
    Optional<String> separator =
        request.separator().or(() -> ownText ? Optional.empty() : recipe.evaluation().separator());
    String textHash = sha256(text);
    Optional<Training> training =
        request.trainText().map(file -> new Training(file, sha256(file), separator));
    if (training.isPresent() && training.get().hash().equals(textHash)) {
      throw new InvalidInputException(
          "%s is the text that quality is judged on (%s): fine-tuning needs another one"
              .formatted(training.get().text(), text));
    }
    return new Plan(
        request,
        recipe,
        maxLoss,
        steps(recipe, training.isPresent()),
        text,
        textHash,
        separator,
        request.maxDocuments().isPresent()
            ? request.maxDocuments()
            : recipe.evaluation().maxDocuments(),
        request.pricePerHour().isPresent() ? request.pricePerHour() : recipe.cost().pricePerHour(),
        targets(request, recipe),
        training);
  }

  private static List<Step> steps(Recipe recipe, boolean canTrain) {
    List<Step> steps = new ArrayList<>();
    for (Recipe.Step step : recipe.steps()) {
      boolean trains = TrainedPruning.isOne(step.technique());
      Optional<TrainedPruning> training =
          trains ? TrainedPruning.parse(step.where(), step.technique()) : Optional.empty();
      Technique technique =
          trains
              ? TrainedPruning.oneShot(step.where(), step.technique())
              : Techniques.parse(step.where(), step.technique());
      String kind = step.technique().get("technique").stringValue();
      String own =
          training.filter(_ -> canTrain).map(TrainedPruning::name).orElseGet(technique::name);
      String name =
          (own.startsWith(kind) ? own : kind + " " + own)
              .replace("%", "")
              .strip()
              .replaceAll("[^A-Za-z0-9.]+", "-")
              .replaceAll("^[-.]+|[-.]+$", "");
      String unique = name;
      for (int i = 2; taken(steps, unique); i++) {
        unique = name + "-" + i;
      }
      steps.add(new Step(unique, technique, training));
    }
    return steps;
  }

  private static boolean taken(List<Step> steps, String name) {
    return steps.stream().anyMatch(step -> step.name().equals(name));
  }

  private static Map<Target, Double> targets(OptimizeRequest request, Recipe recipe) {
    Map<Target, Double> targets = new EnumMap<>(Target.class);
    targets.putAll(recipe.targets());
    request
        .targets()
        .forEach((key, wanted) -> {
          Target target =
              Target.find(key)
                  .orElseThrow(() ->
                      new InvalidInputException(
                          "no target '%s'; there are %s".formatted(key, Target.keys())));
          if (!(wanted >= 0)) {
            throw new InvalidInputException(
                "target %s is %s: it must be a number that is 0 or more".formatted(key, wanted));
          }
          targets.put(target, wanted);
        });
    return targets;
  }

  /** Everything that the figures of the run depend on, for its fingerprint. */
  ObjectNode fingerprint() {
    ObjectNode node = RunJson.mapper().createObjectNode();
    node.put("recipe", recipe.name());
    node.put("recipe_hash", recipe.hash());
    node.put("max_loss_percent", maxLossPercent);
    node.put("text", text.toString());
    node.put("text_hash", textHash);
    separator.ifPresent(s -> node.put("separator", s));
    maxDocuments.ifPresent(n -> node.put("max_documents", n));
    training.ifPresent(t -> {
      node.put("train_text", t.text().toString());
      node.put("train_text_hash", t.hash());
    });
    node.put("threads", request.threads());
    node.put("cpu_kernels", request.cpuKernels());
    return node;
  }

  static String sha256(Path file) {
    if (!Files.isRegularFile(file)) {
      throw new InvalidInputException(
          file + " is not a file: a UTF-8 text file is wanted (--text, --train-text)");
    }
    try (InputStream in = Files.newInputStream(file);
        DigestInputStream digest =
            new DigestInputStream(in, MessageDigest.getInstance("SHA-256"))) {
      digest.transferTo(java.io.OutputStream.nullOutputStream());
      return HexFormat.of().formatHex(digest.getMessageDigest().digest());
    } catch (IOException e) {
      throw new InvalidInputException("cannot read " + file + ": " + e.getMessage(), e);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
