package dev.lathe.report;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** Writes the reports of a run. */
public final class Reports {
  public static final String HTML = "report.html";
  public static final String MARKDOWN = "report.md";

  private Reports() {}

  /** Both reports of results that have just been found. */
  public static void write(RunFolder folder, OptimizeResults results) {
    folder.writeWhole(MARKDOWN, bytes(MarkdownReport.render(results)));
    folder.writeWhole(HTML, bytes(HtmlReport.render(results)));
  }

  /**
   * Both reports again, from the results that a finished run has left.
   *
   * @return the HTML report
   * @throws InvalidInputException if the folder is no run, is not finished, or was not an optimize
   *     run
   */
  public static Path rewrite(Path run) {
    var fingerprint = RunFolder.readFingerprint(run);
    if (!fingerprint.verb().equals("optimize")) {
      throw new InvalidInputException(
          "%s: is a run of %s; there is a report for optimize".formatted(run, fingerprint.verb()));
    }
    Path file = run.resolve("results.json");
    if (!Files.exists(file)) {
      throw new InvalidInputException(
          run + ": the run is not finished, it has no results.json; resume it first");
    }
    String json;
    try {
      json = Files.readString(file);
    } catch (IOException e) {
      throw new InvalidInputException(file + ": cannot be read: " + e.getMessage(), e);
    }
    OptimizeResults results = RunJson.read(json, OptimizeResults.class, file.toString());
    try (RunFolder folder = RunFolder.resume(run, fingerprint)) {
      write(folder, results);
    }
    return run.resolve(HTML);
  }

  private static byte[] bytes(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }
}
