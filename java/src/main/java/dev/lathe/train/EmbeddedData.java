package dev.lathe.train;

import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.checkpoint.Lineage;
import dev.lathe.error.InvalidInputException;
import dev.lathe.error.IoReason;
import dev.lathe.files.CalibrationData;
import dev.lathe.train.corpus.Corpus;
import dev.lathe.train.corpus.Split;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;

/**
 * The texts of the embedded default, for it and for whatever was made from it: a checkpoint whose
 * lineage begins with the training on this version's corpus is measured on the held-out split and
 * tuned on the training split.
 */
public final class EmbeddedData {
  private static final String TRAINED = "train embedded on corpus ";
  private static final String HELD_OUT = "corpus/held-out.txt";
  private static final String TRAINING_HASH = "corpus/training.txt.sha256";

  private EmbeddedData() {}

  /**
   * A text that no model made from the embedded default has seen.
   *
   * @param separator what stands between its documents
   */
  public record HeldOut(Path text, String separator) {}

  /**
   * The text that the embedded default learnt from.
   *
   * @param hash SHA-256 of it as one file
   */
  public record Training(String hash) {
    /** Written anew: it takes a few seconds. */
    public List<String> documents() {
      return Corpus.embedded(Split.TRAINING).documents();
    }
  }

  /**
   * How the lineage of the embedded default begins, and of everything made from it.
   *
   * @param training the text that it was trained on, whose hash the step names
   */
  static Lineage root(String training) {
    return new Lineage(List.of(new Lineage.Step("", TRAINED + sha256(training), Lineage.tool())));
  }

  /**
   * What a model is measured on where no text was given.
   *
   * @throws InvalidInputException if the model does not come from the embedded default of this
   *     version; says what to give
   */
  public static HeldOut heldOut(Checkpoint checkpoint) {
    if (training(checkpoint).isEmpty()) {
      throw new InvalidInputException(
          ("%s %s, so Lathe has no held-out text to measure it on; give a text with --text FILE"
                  + " (and --separator S where it holds several documents)")
              .formatted(
                  checkpoint.path(),
                  comesFromSome(checkpoint)
                      ? "comes from an embedded model of another version, trained on other text"
                      : "does not come from the embedded model"));
    }
    return new HeldOut(
        CalibrationData.file(HELD_OUT, "the embedded model's held-out text"), Corpus.SEPARATOR);
  }

  /** What a model is tuned on where no text was given; none where it comes from elsewhere. */
  public static Optional<Training> training(Checkpoint checkpoint) {
    String hash = comesFromSome(checkpoint) ? trainingHash() : "";
    return !hash.isEmpty() && firstStep(checkpoint).equals(TRAINED + hash)
        ? Optional.of(new Training(hash))
        : Optional.empty();
  }

  /** From this version's embedded model, or another's. */
  private static boolean comesFromSome(Checkpoint checkpoint) {
    return firstStep(checkpoint).startsWith(TRAINED);
  }

  private static String firstStep(Checkpoint checkpoint) {
    List<Lineage.Step> steps = checkpoint.lineage().steps();
    return steps.isEmpty() ? "" : steps.getFirst().technique();
  }

  /** As {@code sha256sum} writes it: hash, two blanks, name. */
  private static String trainingHash() {
    Path file = CalibrationData.file(TRAINING_HASH, "the hash of the embedded model's text");
    try {
      return Files.readString(file).strip().replaceFirst(" .*", "");
    } catch (IOException e) {
      throw new InvalidInputException("%s: cannot be read: %s".formatted(file, IoReason.of(e)), e);
    }
  }

  private static String sha256(String text) {
    try {
      return HexFormat.of()
          .formatHex(
              MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8)));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }
}
