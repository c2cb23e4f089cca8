package dev.lathe.optimize;

import dev.lathe.backend.Backends;
import dev.lathe.backend.OpenedBackend;
import dev.lathe.backend.cuda.CudaDriver;
import dev.lathe.checkpoint.Checkpoint;
import dev.lathe.error.InvalidInputException;
import dev.lathe.measure.BuildVersion;
import dev.lathe.measure.Fingerprint;
import dev.lathe.measure.Machine;
import dev.lathe.measure.RunFolder;
import dev.lathe.report.OptimizeResults;
import dev.lathe.report.Reports;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Optional;

/**
 * The main job: baseline, profile, one technique at a time with its quality checked, KV-cache,
 * batching, report. Everything is written to a run folder; a run that was interrupted goes on with
 * the stage in which it was interrupted when it is started again on the same folder.
 *
 * <pre>{@code
 * OptimizeOutcome outcome = new Optimizer(request, sink).run();
 * }</pre>
 */
public final class Optimizer {
  private final OptimizeRequest request;
  private final ProgressSink sink;
  private final SpeedTrial.Effort effort;

  public Optimizer(OptimizeRequest request, ProgressSink sink) {
    this(request, sink, SpeedTrial.Effort.USUAL);
  }

  Optimizer(OptimizeRequest request, ProgressSink sink, SpeedTrial.Effort effort) {
    this.effort = effort;
    this.request = request;
    this.sink = sink;
  }

  /**
   * Runs, or goes on with, what was asked for.
   *
   * @throws InvalidInputException if the recipe, the model or the text is wrong, if the run folder
   *     exists and is finished or is no run, or if it is a run of something else
   * @throws dev.lathe.error.BackendUnusableException if the backend cannot run here
   */
  public OptimizeOutcome run() {
    Plan plan = Plan.of(request);
    boolean goesOn = goesOn(request.out());
    try (OpenedBackend opened =
        Backends.open(request.backend(), request.threads(), request.cpuKernels())) {
      return run(plan, goesOn, opened);
    }
  }

  /** The same on a backend that is open, and stays so. */
  OptimizeOutcome run(OpenedBackend opened) {
    return run(Plan.of(request), goesOn(request.out()), opened);
  }

  private OptimizeOutcome run(Plan plan, boolean goesOn, OpenedBackend opened) {
    try (LoadedModel baseline = LoadedModel.open(request.model(), opened.backend());
        Inputs inputs = Inputs.read(plan, baseline, sink)) {
      Fingerprint now = fingerprint(plan, opened, baseline.checkpoint());
      try (RunFolder folder =
          goesOn ? RunFolder.resume(request.out(), now) : RunFolder.create(request.out(), now)) {
        sink.note("run folder: " + folder.path());
        folder.differences().forEach(difference -> sink.note("resumed although " + difference));
        Journal journal = goesOn ? Journal.resume(folder) : Journal.start(folder);
        OptimizeResults results =
            new OptimizeRun(plan, sink, opened, baseline, inputs, folder, journal, effort).run();
        write(folder, results);
        return new OptimizeOutcome(results, folder.path(), results.targetMet());
      }
    }
  }

  /** True where the folder holds a run to be taken up again. */
  private boolean goesOn(Path out) {
    boolean isRun = RunFolder.isRun(out);
    if (request.resume() && !isRun) {
      throw new InvalidInputException(
          out + ": there is no run to resume; start one without --resume");
    }
    if (isRun && !request.resume() && Files.exists(out.resolve("results.json"))) {
      throw new InvalidInputException(
          out + ": holds a finished run; give a folder that does not exist yet (--out)");
    }
    return isRun;
  }

  private Fingerprint fingerprint(Plan plan, OpenedBackend opened, Checkpoint model) {
    return new Fingerprint(
        "optimize",
        request.model().toString(),
        model.hash(),
        plan.fingerprint(),
        request.seed(),
        opened.backend().name(),
        opened.reason(),
        opened.backend().device(),
        opened.backend().name().equals("cuda") ? CudaDriver.version() : Optional.empty(),
        Machine.here(),
        BuildVersion.running(),
        Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
  }

  /** Results last: a folder with results.json has its reports too. */
  private static void write(RunFolder folder, OptimizeResults results) {
    Reports.write(folder, results);
    folder.results(results);
  }
}
