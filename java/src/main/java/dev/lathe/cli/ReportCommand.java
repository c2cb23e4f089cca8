package dev.lathe.cli;

import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.RunFolder;
import dev.lathe.measure.RunJson;
import dev.lathe.report.HtmlReport;
import dev.lathe.report.MarkdownReport;
import dev.lathe.report.OptimizeResults;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** The reports of finished runs again, by this version. */
@Command(
    name = "report",
    description = "Writes report.html and report.md of finished runs again, from results.json.",
    mixinStandardHelpOptions = true)
final class ReportCommand implements Callable<Integer> {
  private static final String MARKDOWN = "report.md";

  @ParentCommand private Lathe lathe;
  @Mixin private JsonOption output;

  @Parameters(arity = "1..*", paramLabel = "RUN", description = "Run folders of optimize.")
  private List<Path> runs;

  private record Written(Path html, Path markdown) {}

  @Override
  public Integer call() {
    List<Written> written = new ArrayList<>();
    for (Path run : runs) {
      written.add(render(run));
    }
    if (output.json) {
      ObjectNode json = Json.object();
      json.put("html", written.getFirst().html().toString());
      ArrayNode reports = json.putArray("reports");
      written.forEach(one ->
          reports
              .addObject()
              .put("html", one.html().toString())
              .put("md", one.markdown().toString()));
      Json.print(json, lathe.console().out());
    } else {
      written.forEach(one -> lathe.console().out().println(one.html()));
    }
    return 0;
  }

  private static Written render(Path run) {
    String verb = RunFolder.readFingerprint(run).verb();
    if (!verb.equals("optimize")) {
      throw new InvalidInputException(
          "%s: is a run of '%s'; this version reports runs of 'optimize'".formatted(run, verb));
    }
    ObjectNode json =
        RunFolder.readResults(run)
            .orElseThrow(() ->
                new InvalidInputException(
                    "%s: is not finished, it has no results.json; finish it with 'lathe optimize"
                            .formatted(run)
                        + " --resume --out "
                        + run
                        + "' and the options it was started with"));
    OptimizeResults results =
        RunJson.read(
            json.toString(), OptimizeResults.class, run.resolve("results.json").toString());
    try (RunFolder folder = RunFolder.resume(run, RunFolder.readFingerprint(run))) {
      folder.writeWhole(
          results.report(), HtmlReport.render(results).getBytes(StandardCharsets.UTF_8));
      folder.writeWhole(MARKDOWN, MarkdownReport.render(results).getBytes(StandardCharsets.UTF_8));
    }
    return new Written(run.resolve(results.report()), run.resolve(MARKDOWN));
  }
}
