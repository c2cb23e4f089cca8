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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/** {@code scripts/gpu-check}: runs what is not done yet, and writes down what was found. */
final class GpuCheck {
  /** Something is left to do: call again. */
  static final int UNFINISHED = 75;

  private static final Duration WORTH_STARTING = Duration.ofSeconds(20);

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
    Store store = new Store(options.work(), machine.slug(), commit);
    PartRunner runner = new PartRunner(store, sensors);
    Deadline deadline = new Deadline(startNanos, options.budget());
    List<Part> parts = new Plan(root, options, machine.environment()).parts();
    options.check(parts.stream().map(Part::id).toList());
    Map<String, Outcome> known = new LinkedHashMap<>();
    for (Part part : parts) {
      known(store, part).ifPresent(outcome -> known.put(part.id(), outcome));
    }
    boolean first = true;
    for (Part part : parts) {
      Optional<Outcome> before = Optional.ofNullable(known.get(part.id()));
      if (!options.wants(part) || before.filter(GpuCheck::stands).isPresent()) {
        continue;
      }
      if (part.missing().isEmpty() && !first && !fits(part, store, deadline)) {
        continue;
      }
      Outcome outcome = runner.run(part, deadline, first);
      first &= !part.missing().isEmpty();
      store.put(outcome);
      known.put(part.id(), outcome);
      say(line(outcome));
      // After each part: whoever ends this call finds what was measured until then.
      write(report(machine, parts, known), store);
    }
    Report report = report(machine, parts, known);
    Path written = write(report, store);
    say("written: " + written + " and .json");
    report.asks().forEach(verdict -> say("asked: " + verdict.line()));
    List<Part> wanted = parts.stream().filter(options::wants).toList();
    return verdict(outcomes(wanted, known), left(wanted, known));
  }

  /** What is known of a part before this call runs it. */
  private Optional<Outcome> known(Store store, Part part) throws IOException {
    if (options.fresh() && options.wants(part)) {
      store.forget(part);
      return Optional.empty();
    }
    Optional<Outcome> outcome = store.find(part);
    if (part.kind() != Part.Kind.ITEMS) {
      return options.again() && options.wants(part) ? outcome.filter(o -> !o.bad()) : outcome;
    }
    ItemLog items = store.items(part);
    if (options.again() && options.wants(part) && outcome.map(Outcome::bad).orElse(true)) {
      items.forgetFailures();
      outcome = Optional.empty();
    }
    // A call that was killed wrote no outcome, but every item that it ended.
    return outcome.isPresent() || items.isEmpty()
        ? outcome
        : Optional.of(ItemRunner.sofar(part, items));
  }

  /**
   * Whether an outcome of an earlier call counts in this one. What was missing may be there now.
   */
  private static boolean stands(Outcome outcome) {
    return switch (outcome.status()) {
      case PASSED, FAILED, TIMED_OUT -> true;
      case MISSING, UNFINISHED -> false;
    };
  }

  /**
   * Whether it is worth starting in what is left of the call: what can go on where it was needs
   * time to start and for some items, anything else all of what it is expected to take.
   */
  private static boolean fits(Part part, Store store, Deadline deadline) throws IOException {
    Duration expected = store.expected(part);
    Duration needed =
        part.kind() == Part.Kind.ITEMS && expected.compareTo(WORTH_STARTING) > 0
            ? WORTH_STARTING
            : expected;
    return needed.compareTo(deadline.left()) <= 0;
  }

  /** Of everything that is known of this commit, whatever this call was asked for. */
  private Report report(Machine machine, List<Part> parts, Map<String, Outcome> known) {
    String date = LocalDate.now(ZoneOffset.UTC).toString();
    List<Part> all =
        parts.stream()
            .filter(part ->
                options.wants(part)
                    || known.containsKey(part.id())
                    || !(part.group().equals("sanitize") || part.ofSomeTests()))
            .toList();
    return new Report(machine, commit, date, outcomes(all, known), left(all, known));
  }

  private static List<Outcome> outcomes(List<Part> parts, Map<String, Outcome> known) {
    return parts.stream().map(part -> known.get(part.id())).filter(Objects::nonNull).toList();
  }

  /** How many of the parts are not done. */
  private static int left(List<Part> parts, Map<String, Outcome> known) {
    long done =
        outcomes(parts, known).stream()
            .filter(o -> o.status() != Outcome.Status.UNFINISHED)
            .count();
    return Math.toIntExact(parts.size() - done);
  }

  private Path write(Report report, Store store) throws IOException {
    Path folder = options.emulated() ? store.folder() : options.out();
    Files.createDirectories(folder);
    String name = options.emulated() ? "report" : report.machine().slug() + "-" + report.date();
    Store.write(folder.resolve(name + ".json"), report.json());
    Path markdown = folder.resolve(name + ".md");
    Store.write(markdown, report.markdown());
    return markdown;
  }

  private static int verdict(List<Outcome> outcomes, int left) {
    long bad = outcomes.stream().filter(Outcome::bad).count();
    for (Outcome outcome : outcomes) {
      if (outcome.bad()) {
        say("not passed: " + line(outcome));
      }
    }
    if (left > 0) {
      say("%d parts are left: call again".formatted(left));
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
