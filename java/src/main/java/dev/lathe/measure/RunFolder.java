package dev.lathe.measure;

import dev.lathe.error.InvalidInputException;
import dev.lathe.error.IoReason;
import dev.lathe.error.LatheException;
import dev.lathe.measure.Fingerprint.Difference;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Clock;
import java.time.LocalDateTime;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import tools.jackson.databind.node.ObjectNode;

/**
 * A run is a folder: {@code run.json} says what was run where, {@code samples.jsonl} holds what was
 * observed, line by line as it came, {@code results.json} what follows from it; reports, a trace
 * and {@code model/} may lie beside them. Files other than the samples appear whole or not at all.
 *
 * <p>One process at a time: the samples are locked while a run folder is open.
 */
public final class RunFolder implements AutoCloseable {
  private static final String RUN = "run.json";
  private static final String SAMPLES = "samples.jsonl";
  private static final String RESULTS = "results.json";
  private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

  private final Path folder;
  private final Fingerprint fingerprint;
  private final List<Difference> differences;
  private final SampleFile samples;

  private RunFolder(
      Path folder, Fingerprint fingerprint, List<Difference> differences, SampleFile samples) {
    this.folder = folder;
    this.fingerprint = fingerprint;
    this.differences = differences;
    this.samples = samples;
  }

  /** {@code runs/<verb>-<model>-<timestamp>} under the working folder; one that does not exist. */
  public static Path defaultPath(String verb, String model, Clock clock) {
    return defaultPath(Path.of("runs"), verb, model, clock);
  }

  static Path defaultPath(Path runs, String verb, String model, Clock clock) {
    String last = model.replaceAll("/+$", "").replaceFirst("^.*/", "");
    String name = last.replaceAll("[^A-Za-z0-9._-]", "_");
    String base = "%s-%s-%s".formatted(verb, name, LocalDateTime.now(clock).format(STAMP));
    Path path = runs.resolve(base);
    for (int i = 2; Files.exists(path); i++) {
      path = runs.resolve(base + "-" + i);
    }
    return path;
  }

  /** True where a folder holds a run, finished or not. */
  public static boolean isRun(Path folder) {
    return Files.isRegularFile(folder.resolve(RUN));
  }

  /**
   * Starts a run in a new folder (or an empty one).
   *
   * @throws InvalidInputException if the folder holds anything: a run wants to be resumed, and
   *     other files are not Lathe's to mix with
   */
  public static RunFolder create(Path folder, Fingerprint fingerprint) {
    if (isRun(folder)) {
      throw new InvalidInputException(
          "%s: holds a run already; resume it, or give a folder that does not exist yet"
              .formatted(folder));
    }
    if (Files.exists(folder) && !isEmptyFolder(folder)) {
      throw new InvalidInputException(
          "%s: exists and is not a run; give a folder that does not exist yet".formatted(folder));
    }
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED, "%s: cannot be made: %s".formatted(folder, IoReason.of(e)), e);
    }
    WholeFile.write(folder.resolve(RUN), RunJson.file(fingerprint));
    return new RunFolder(folder, fingerprint, List.of(), SampleFile.open(folder.resolve(SAMPLES)));
  }

  /**
   * Goes on with a run. A sample that was cut off by a crash is dropped, see {@link
   * #droppedBytes()}.
   *
   * @param now what would be recorded if the run started now
   * @throws InvalidInputException if the folder is not a run, or if what its samples depend on
   *     (model, recipe, seed, backend, device, version) is not what it was: says what differs
   */
  public static RunFolder resume(Path folder, Fingerprint now) {
    Fingerprint was = readFingerprint(folder);
    List<Difference> differences = was.differences(now);
    List<Difference> mixing = differences.stream().filter(Difference::mixing).toList();
    if (!mixing.isEmpty()) {
      throw new InvalidInputException(
          "%s: cannot be resumed, two runs would be mixed: %s; start a new one"
              .formatted(
                  folder,
                  mixing.stream().map(Difference::toString).collect(Collectors.joining("; "))));
    }
    return new RunFolder(folder, was, differences, SampleFile.open(folder.resolve(SAMPLES)));
  }

  /**
   * What the run in a folder was started with.
   *
   * @throws InvalidInputException if the folder is not a run, or its {@code run.json} is broken
   */
  public static Fingerprint readFingerprint(Path folder) {
    if (!isRun(folder)) {
      throw new InvalidInputException("%s: is not a run, it has no %s".formatted(folder, RUN));
    }
    Path file = folder.resolve(RUN);
    return RunJson.read(WholeFile.readText(file), Fingerprint.class, file.toString());
  }

  /**
   * The samples of a run that is not open, oldest first; a last line that was cut off is left out.
   */
  public static List<ObjectNode> readSamples(Path folder) {
    readFingerprint(folder);
    return SampleFile.read(folder.resolve(SAMPLES));
  }

  /** The results of a run, if it got that far. */
  public static Optional<ObjectNode> readResults(Path folder) {
    Path file = folder.resolve(RESULTS);
    return Files.exists(file)
        ? Optional.of(RunJson.read(WholeFile.readText(file), ObjectNode.class, file.toString()))
        : Optional.empty();
  }

  public Path path() {
    return folder;
  }

  /** Where the model that a run makes belongs. */
  public Path model() {
    return folder.resolve("model");
  }

  public Fingerprint fingerprint() {
    return fingerprint;
  }

  /** What is not as it was when the run was started, but does not keep it from going on. */
  public List<Difference> differences() {
    return differences;
  }

  /** Bytes of a cut-off last sample that were dropped when the run was resumed; 0 if none. */
  public long droppedBytes() {
    return samples.droppedBytes();
  }

  /** Adds a line to the samples; it is with the operating system when this returns. */
  public void append(ObjectNode sample) {
    samples.append(sample);
  }

  /** Every sample so far, oldest first, those from before a resume included. */
  public List<ObjectNode> samples() {
    return SampleFile.read(folder.resolve(SAMPLES));
  }

  /** Writes {@code results.json}, after the samples that it follows from are on the disk. */
  public void results(Object results) {
    samples.force();
    writeWhole(RESULTS, RunJson.file(results));
  }

  public Optional<ObjectNode> results() {
    return readResults(folder);
  }

  /**
   * Writes a file of the run whole: temporary file, fsync, rename. One of that name is replaced.
   *
   * @param name {@code report.html}, {@code report.md}, {@code trace.json}; no folders
   */
  public void writeWhole(String name, byte[] bytes) {
    if (!name.matches("[A-Za-z0-9][A-Za-z0-9._-]*") || name.equals(RUN) || name.equals(SAMPLES)) {
      throw new IllegalArgumentException("not a name for a file beside the samples: " + name);
    }
    WholeFile.write(folder.resolve(name), bytes);
  }

  @Override
  public void close() {
    samples.close();
  }

  /** Temporary files that a crash left count as nothing. */
  private static boolean isEmptyFolder(Path folder) {
    if (!Files.isDirectory(folder)) {
      return false;
    }
    try (Stream<Path> entries = Files.list(folder)) {
      return entries.allMatch(WholeFile::isTemporary);
    } catch (IOException e) {
      throw new LatheException(
          LatheException.FAILED, "%s: cannot be read: %s".formatted(folder, IoReason.of(e)), e);
    }
  }
}
