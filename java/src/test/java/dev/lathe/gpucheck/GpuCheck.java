package dev.lathe.gpucheck;

import dev.lathe.backend.cuda.Nvml;
import dev.lathe.error.BackendUnusableException;
import dev.lathe.error.LatheException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** {@code scripts/gpu-check}: runs what is not done yet, and writes down what was found. */
final class GpuCheck {
  /** Something is left to do: call again. */
  static final int UNFINISHED = 75;

  private final Path root;
  private final String commit;
  private final Options options;
  private final long startNanos = System.nanoTime();

  private GpuCheck(Path root, String commit, Options options) {
    this.root = root;
    this.commit = commit;
    this.options = options;
  }

  public static void main(String[] arguments) throws IOException, InterruptedException {
    Path root = Path.of(System.getProperty("lathe.root")).toAbsolutePath().normalize();
    int code;
    try {
      Options options = Options.parse(List.of(arguments), root);
      code = new GpuCheck(root, System.getProperty("lathe.commit", "unknown"), options).run();
    } catch (LatheException e) {
      System.err.println("gpu-check: " + e.getMessage());
      code = e.exitCode();
    }
    System.exit(code);
  }

  private int run() throws IOException, InterruptedException {
    Files.createDirectories(options.work());
    Machine machine = Machine.examine(root, options.work());
    boolean emulated = machine.slug().contains("emulated");
    if (emulated != options.emulated()) {
      throw new BackendUnusableException(
          "the device is %s; --emulated is for that, and only for that"
              .formatted(machine.device()));
    }
    say("%s, commit %s".formatted(machine.device(), commit));
    Nvml.Opened sensors = Nvml.open();
    if (sensors.nvml().isEmpty()) {
      say("no clocks and no energy: " + sensors.reason());
    }
    try {
      return run(machine, sensors.nvml());
    } finally {
      sensors.nvml().ifPresent(Nvml::close);
    }
  }

  private int run(Machine machine, Optional<Nvml> sensors)
      throws IOException, InterruptedException {
    Store store = new Store(options.work().resolve(machine.slug() + "-" + commit));
    PartRunner runner = new PartRunner(store, sensors);
    List<Outcome> outcomes = new ArrayList<>();
    int left = 0;
    boolean ran = false;
    for (Part part : new Plan(root, options, machine.environment()).parts()) {
      Optional<Outcome> known = store.find(part).filter(this::stands);
      if (known.isEmpty() && (fits(part) || !ran)) {
        ran |= part.missing().isEmpty();
        Outcome outcome = runner.run(part);
        store.put(outcome);
        say(line(outcome));
        known = Optional.of(outcome);
      }
      left += known.isEmpty() ? 1 : 0;
      known.ifPresent(outcomes::add);
    }
    write(
        new Report(machine, commit, LocalDate.now(ZoneOffset.UTC).toString(), outcomes, left),
        store);
    return verdict(outcomes, left);
  }

  /**
   * Whether an outcome of an earlier call counts in this one. What was missing may be there now.
   */
  private boolean stands(Outcome outcome) {
    boolean passed = outcome.status() == Outcome.Status.PASSED;
    boolean missing = outcome.status() == Outcome.Status.MISSING;
    return !options.fresh() && !missing && (passed || !options.again());
  }

  /** A part that can't be run takes no time. */
  private boolean fits(Part part) {
    Duration used = Duration.ofNanos(System.nanoTime() - startNanos);
    return options.budget().map(b -> used.plus(part.limit()).compareTo(b) <= 0).orElse(true);
  }

  private void write(Report report, Store store) throws IOException {
    Path folder = options.emulated() ? store.folder() : options.out();
    Files.createDirectories(folder);
    String name = options.emulated() ? "report" : report.machine().slug() + "-" + report.date();
    Store.write(folder.resolve(name + ".json"), report.json());
    Files.writeString(folder.resolve(name + ".md"), report.markdown());
    say("written: " + folder.resolve(name + ".md") + " and .json");
  }

  private static int verdict(List<Outcome> outcomes, int left) {
    long bad = outcomes.stream().filter(o -> o.status() != Outcome.Status.PASSED).count();
    for (Outcome outcome : outcomes) {
      if (outcome.status() != Outcome.Status.PASSED) {
        say("not passed: " + line(outcome));
      }
    }
    if (left > 0) {
      say("%d parts done, %d left: call again".formatted(outcomes.size(), left));
      return UNFINISHED;
    }
    say(
        bad == 0
            ? "all %d parts passed".formatted(outcomes.size())
            : bad + " of " + outcomes.size() + " parts did not pass");
    return bad == 0 ? 0 : LatheException.FAILED;
  }

  private static String line(Outcome outcome) {
    String tests =
        outcome.tests().has("run")
            ? " (%d tests)".formatted(outcome.tests().get("run").asInt())
            : "";
    String note = outcome.note().isEmpty() ? "" : ": " + outcome.note();
    return "%-9s %6.1f s  %s%s%s"
        .formatted(outcome.status().text(), outcome.seconds(), outcome.id(), tests, note);
  }

  private static void say(String line) {
    System.err.println("gpu-check: " + line);
  }
}
