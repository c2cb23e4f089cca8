package dev.lathe.optimize;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Checkpoints;
import dev.lathe.compress.Technique;
import dev.lathe.compress.Techniques;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunJson;
import dev.lathe.train.EmbeddedData;
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
   * @param name what it is called: the file
   * @param hash SHA-256 of it as a file
   * @param file empty for the text that the embedded default learnt from
   */
  record Training(String name, String hash, Optional<Path> file, Optional<String> separator) {}

  /**
   * Puts request and recipe together.
   *
   * @throws InvalidInputException if a step, a target or the evaluation text is not usable, or if
   *     no text was named and the model does not come from the embedded default
   */
  static Plan of(OptimizeRequest request) {
    Recipe recipe = Recipes.load(request.recipe());
    double maxLoss = request.maxLossPercent().orElse(recipe.maxLossPercent());
    if (!(maxLoss >= 0 && Double.isFinite(maxLoss))) {
      throw new InvalidInputException(
          "the largest loss is %s: it must be a percentage of 0 or more, such as 2%%"
              .formatted(maxLoss));
    }
    Text text = text(request, recipe.evaluation());
    String textHash = sha256(text.file());
    Optional<Training> training = training(request, recipe, text);
    if (training.isPresent() && training.get().hash().equals(textHash)) {
      throw new InvalidInputException(
          "%s is the text that quality is judged on (%s): fine-tuning needs another one"
              .formatted(training.get().name(), text.file()));
    }
    return new Plan(
        request,
        recipe,
        maxLoss,
        steps(recipe, training.isPresent()),
        text.file(),
        textHash,
        text.separator(),
        request.maxDocuments().isPresent()
            ? request.maxDocuments()
            : recipe.evaluation().maxDocuments(),
        request.pricePerHour().isPresent() ? request.pricePerHour() : recipe.cost().pricePerHour(),
        targets(request, recipe),
        training);
  }

  private record Text(Path file, Optional<String> separator) {}

  /**
   * The request's, else the recipe's, else the embedded default's; a separator goes with its text.
   */
  private static Text text(OptimizeRequest request, Recipe.Data recipe) {
    if (request.text().isPresent()) {
      return new Text(request.text().get(), request.separator());
    }
    if (recipe.text().isPresent()) {
      return new Text(recipe.text().get(), request.separator().or(recipe::separator));
    }
    // With --train-text the separator may be of that one.
    boolean stray = request.separator().isPresent() && request.trainText().isEmpty();
    if (stray || recipe.separator().isPresent()) {
      throw new InvalidInputException(
          "a separator was given (--separator, or in the recipe) but no text that it belongs to"
              + " (--text)");
    }
    try (Checkpoint model = Checkpoints.open(request.model())) {
      EmbeddedData.HeldOut heldOut = EmbeddedData.heldOut(model);
      return new Text(heldOut.text(), Optional.of(heldOut.separator()));
    }
  }

  /** The request's; else, where a step trains, the embedded default's for what comes from it. */
  private static Optional<Training> training(OptimizeRequest request, Recipe recipe, Text judged) {
    if (request.trainText().isPresent()) {
      Path file = request.trainText().get();
      Optional<String> separator = request.separator().or(judged::separator);
      return Optional.of(new Training(file.toString(), sha256(file), Optional.of(file), separator));
    }
    if (recipe.steps().stream().noneMatch(step -> TrainedPruning.isOne(step.technique()))) {
      return Optional.empty();
    }
    try (Checkpoint model = Checkpoints.open(request.model())) {
      return EmbeddedData.training(model)
          .map(text ->
              new Training(
                  "the text that the embedded model learnt from",
                  text.hash(),
                  Optional.empty(),
                  Optional.empty()));
    }
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
      node.put("train_text", t.name());
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
