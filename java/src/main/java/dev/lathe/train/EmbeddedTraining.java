package dev.lathe.train;

import dev.lathe.checkpoint.CheckpointWriter;
import dev.lathe.checkpoint.StrictJson;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.LatheException;
import dev.lathe.model.ModelConfig;
import dev.lathe.tokenize.HuggingFaceTokenizer;
import dev.lathe.tokenize.Tokenizer;
import dev.lathe.train.corpus.Corpus;
import dev.lathe.train.corpus.Split;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.Consumer;
import tools.jackson.databind.node.ObjectNode;

/**
 * Trains the embedded default: text, vocabulary, weights, all from seeds. The folder holds {@code
 * tokenizer.json}, {@code state} to go on from, {@code curve.csv}, and at the end {@code model/}.
 */
public final class EmbeddedTraining {
  private static final int VOCABULARY = 512;

  /** Enough text for 254 merges; the rest would only count the same words again. */
  private static final int VOCABULARY_DOCUMENTS = 3000;

  private static final String CURVE = "step,train_loss,held_out_loss,learning_rate,seconds\n";

  private final Path folder;
  private final Consumer<String> log;

  private EmbeddedTraining(Path folder, Consumer<String> log) {
    this.folder = folder;
    this.log = log;
  }

  /** The plan of the embedded default, for another number of steps too. */
  static TrainingPlan plan(int steps) {
    return new TrainingPlan(
        32, 256, steps, 3e-3, 1e-4, Math.min(100, steps / 10), 0.1, 1, 50, 8, 1);
  }

  /**
   * What of the model's shape can be chosen.
   *
   * @param layers blocks
   * @param intermediate columns between the two matrices of a feed-forward layer
   */
  record Size(int layers, int intermediate) {
    static final Size EMBEDDED = new Size(4, 384);

    /** Half as many parameters, to within 0.05 %: what the embedded default is compared with. */
    static final Size HALF = new Size(2, 341);
  }

  /** The configuration of the embedded default, in this size or another. */
  static ObjectNode config(Size size) {
    return StrictJson.parseObject(
        """
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128,
         "intermediate_size": %d, "num_hidden_layers": %d, "num_attention_heads": 4,
         "num_key_value_heads": 4, "head_dim": 32, "vocab_size": %d,
         "max_position_embeddings": 256, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
         "tie_word_embeddings": true, "hidden_act": "silu", "bos_token_id": %d,
         "eos_token_id": %d}
        """
            .formatted(
                size.intermediate(), size.layers(), VOCABULARY, VOCABULARY - 2, VOCABULARY - 1)
            .getBytes(StandardCharsets.UTF_8),
        "the embedded default's configuration");
  }

  /**
   * Trains, or goes on with what a killed process left in the folder.
   *
   * @param threads that the batch is divided between, 1 or 2
   */
  static void run(Path folder, int steps, Size size, int threads, Consumer<String> log) {
    try {
      Files.createDirectories(folder);
      if (Files.exists(folder.resolve("model"))) {
        throw new InvalidInputException(
            folder.resolve("model") + " is there already; give another --out, or remove it");
      }
      new EmbeddedTraining(folder, log).run(plan(steps), config(size), threads);
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED, "%s cannot be written: %s".formatted(folder, e.getMessage()), e);
    }
  }

  private void run(TrainingPlan plan, ObjectNode configJson, int threads) throws IOException {
    ModelConfig config = ModelConfig.parse(configJson, "the embedded default's configuration");
    Corpus corpus = Corpus.embedded(Split.TRAINING);
    List<String> documents = corpus.documents();
    BytePairs pairs = vocabulary(documents);
    Path tokenizerJson = folder.resolve("tokenizer.json");
    Path companion = folder.resolve("tokenizer_config.json");
    Files.write(tokenizerJson, pretty(pairs.tokenizerJson()));
    Files.write(companion, pretty(pairs.tokenizerConfigJson()));
    TrainingText training;
    TrainingText heldOut;
    try (HuggingFaceTokenizer tokenizer =
        HuggingFaceTokenizer.load(tokenizerJson, Optional.of(companion), configJson)) {
      training = tokens(documents, config, tokenizer);
      heldOut = tokens(Corpus.embedded(Split.HELD_OUT).documents(), config, tokenizer);
    }
    Parameters parameters = Parameters.initial(config, plan.seed());
    log.accept(
        "%,d parameters, %,d tokens to learn from, %,d held out"
            .formatted(parameters.count(), training.size(), heldOut.size()));
    AdamW optimizer = new AdamW(parameters, plan.weightDecay(), Masks.NONE);
    TrainingState state = new TrainingState(parameters);
    long identity = (plan + configJson.toString() + Corpus.SEED + training.size()).hashCode();
    Path stateFile = folder.resolve("state");
    Path curve = folder.resolve("curve.csv");
    if (Files.exists(stateFile)) {
      state.load(stateFile, identity, parameters, optimizer);
      log.accept("going on after step " + optimizer.step);
    } else {
      Files.writeString(curve, CURVE);
    }
    try (Trainer trainer = new Trainer(parameters, plan, optimizer, training, threads)) {
      loop(trainer, plan, optimizer, state, heldOut, identity, stateFile, curve);
    }
    System.arraycopy(state.best, 0, parameters.values(), 0, state.best.length);
    CheckpointWriter writer =
        CheckpointWriter.create(folder.resolve("model"))
            .config(configJson)
            .copy(tokenizerJson)
            .copy(companion)
            .lineage(EmbeddedData.root(corpus.text()));
    parameters.writeTo(writer);
    log.accept(
        "%s: held-out loss %.4f nats a token"
            .formatted(writer.write(bytes -> {}).folder(), state.bestLoss));
  }

  private void loop(
      Trainer trainer,
      TrainingPlan plan,
      AdamW optimizer,
      TrainingState state,
      TrainingText heldOut,
      long identity,
      Path stateFile,
      Path curve)
      throws IOException {
    double loss = 0;
    int summed = 0;
    long began = System.nanoTime();
    while (optimizer.step < plan.steps() && state.looksWithoutGain < plan.patience()) {
      Trainer.Step step = trainer.step();
      loss += step.loss();
      summed++;
      boolean last = optimizer.step == plan.steps();
      if (optimizer.step % plan.evaluateEvery() != 0 && !last) {
        continue;
      }
      double seconds = (System.nanoTime() - began) / 1e9;
      double tokensPerSecond = summed * (double) plan.batch() * plan.length() / seconds;
      double measured = trainer.evaluate(heldOut);
      state.looksWithoutGain = measured < state.bestLoss ? 0 : state.looksWithoutGain + 1;
      if (measured < state.bestLoss) {
        state.bestLoss = measured;
        System.arraycopy(trainer.parameters().values(), 0, state.best, 0, state.best.length);
      }
      Files.writeString(
          curve,
          String.format(
              Locale.ROOT,
              "%d,%.5f,%.5f,%.6f,%.1f%n",
              optimizer.step,
              loss / summed,
              measured,
              step.learningRate(),
              seconds),
          StandardOpenOption.CREATE,
          StandardOpenOption.APPEND);
      state.save(stateFile, identity, trainer.parameters(), optimizer);
      log.accept(
          "step %d of %d: loss %.4f, held out %.4f (perplexity %.3f), %.0f tokens/s"
              .formatted(
                  optimizer.step,
                  plan.steps(),
                  loss / summed,
                  measured,
                  Math.exp(measured),
                  tokensPerSecond));
      loss = 0;
      summed = 0;
      began = System.nanoTime();
    }
    if (optimizer.step < plan.steps()) {
      log.accept(
          "stopped early: the held-out loss has not fallen in %d looks"
              .formatted(state.looksWithoutGain));
    }
  }

  /** Learnt from the first documents. */
  static BytePairs vocabulary(List<String> documents) {
    return BytePairs.learn(
        documents.subList(0, Math.min(VOCABULARY_DOCUMENTS, documents.size())), VOCABULARY);
  }

  /** Documents as the embedded default is trained on them: each between its begin and its end. */
  static TrainingText tokens(List<String> documents, ModelConfig config, Tokenizer tokenizer) {
    int begin = config.beginOfSequence().orElseThrow();
    int end = config.endOfSequence().stream().findFirst().orElseThrow();
    return new TrainingText(
        tokenizer.encodeAll(documents).stream()
            .map(ids -> {
              int[] whole = new int[ids.length + 2];
              whole[0] = begin;
              System.arraycopy(ids, 0, whole, 1, ids.length);
              whole[whole.length - 1] = end;
              return whole;
            })
            .toList());
  }

  static byte[] pretty(ObjectNode json) {
    return StrictJson.mapper().writerWithDefaultPrettyPrinter().writeValueAsBytes(json);
  }

  private static int count(String option, String value) {
    if (!value.matches("[1-9][0-9]{0,8}")) {
      throw new IllegalArgumentException(
          "%s takes a whole number from 1 on, not '%s'".formatted(option, value));
    }
    return Integer.parseInt(value);
  }

  /** {@code scripts/train-embedded}: options as it passes them, {@code --name value}. */
  public static void main(String[] arguments) {
    Path out = null;
    int steps = 2400;
    int layers = Size.EMBEDDED.layers();
    int intermediate = Size.EMBEDDED.intermediate();
    int threads = 2;
    try {
      for (int i = 0; i < arguments.length; i += 2) {
        String value = i + 1 < arguments.length ? arguments[i + 1] : "";
        switch (arguments[i]) {
          case "--out" -> out = Path.of(value);
          case "--steps" -> steps = count(arguments[i], value);
          case "--layers" -> layers = count(arguments[i], value);
          case "--intermediate" -> intermediate = count(arguments[i], value);
          case "--threads" -> threads = count(arguments[i], value);
          default -> throw new IllegalArgumentException("unknown option " + arguments[i]);
        }
      }
      if (out == null || out.toString().isEmpty()) {
        throw new IllegalArgumentException("--out FOLDER is missing");
      }
      run(out, steps, new Size(layers, intermediate), threads, System.err::println);
    } catch (IllegalArgumentException e) {
      System.err.println("train-embedded: " + e.getMessage());
      System.exit(LatheException.INVALID);
    } catch (LatheException e) {
      System.err.println("train-embedded: " + e.getMessage());
      System.exit(e.exitCode());
    } catch (UncheckedIOException e) {
      System.err.println("train-embedded: " + e.getMessage());
      System.exit(LatheException.FAILED);
    }
  }
}
