package dev.lathe.gpucheck;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Runs the items of a part that aren't done: in one process as long as that goes well, because
 * starting a JVM, PyTorch and CUDA takes longer than most items. An item with which the process
 * crashed or hung has failed, and another process goes on behind it. The end of the call fails
 * nothing: the next call goes on.
 */
final class ItemRunner {
  /** More than so many processes and something else is wrong than single items. */
  private static final int MOST_PROCESSES = 60;

  /** An item that two calls ended in is longer than a call. */
  private static final int MOST_CUTS = 2;

  /** Time to start and load what it needs before the first item, and to end behind the last. */
  private static final Duration BETWEEN_ITEMS = Duration.ofMinutes(2);

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Part part;
  private final ItemLog log;
  private final Path scratch;
  private final Deadline deadline;

  ItemRunner(Part part, ItemLog log, Path scratch, Deadline deadline) {
    this.part = part;
    this.log = log;
    this.scratch = scratch;
    this.deadline = deadline;
  }

  /** How one process ended. */
  private record Ended(How how, String note, String tail) {}

  private enum How {
    DONE,
    /** The item that was its end is written down. */
    START_AGAIN,
    CUT,
    LIMIT,
    MISSING,
    FAILED
  }

  Outcome run() throws IOException, InterruptedException {
    for (int i = 0; i < MOST_PROCESSES; i++) {
      if (left().isNegative()) {
        return outcome(limit());
      }
      if (deadline.left().isNegative()) {
        return outcome(new Ended(How.CUT, "", ""));
      }
      Ended ended = process();
      if (ended.how != How.START_AGAIN) {
        return outcome(ended);
      }
    }
    return outcome(
        new Ended(How.FAILED, "given up after " + MOST_PROCESSES + " processes that crashed", ""));
  }

  private Ended limit() {
    return new Ended(
        How.LIMIT, "ended after its limit of " + part.time().limit().toSeconds() + " s", "");
  }

  /** What is left of the part's own limit. */
  private Duration left() {
    return part.time().limit().minus(Duration.ofMillis(Math.round(log.seconds() * 1000)));
  }

  private Ended process() throws IOException, InterruptedException {
    Path done = scratch.resolve("done");
    Files.write(done, log.done());
    Map<String, String> environment = new HashMap<>(part.environment());
    environment.put(Items.DONE_VARIABLE, done.toString());
    Duration limit = left();
    PartProcess started;
    try {
      started = new PartProcess(part.command(), environment, scratch);
    } catch (IOException e) {
      return new Ended(How.MISSING, String.valueOf(e.getMessage()), "");
    }
    try (PartProcess process = started) {
      Ended ended = new Reading(process).read(limit);
      log.spent(process.seconds());
      return ended;
    }
  }

  /** The lines of one process. */
  private final class Reading {
    private final PartProcess process;
    private Optional<String> running = Optional.empty();
    private List<JsonNode> rows = new ArrayList<>();
    private double begunAt;

    /** What ended last, and may have taken CUDA along. */
    private Optional<String> last = Optional.empty();

    private String plain = "";

    Reading(PartProcess process) {
      this.process = process;
    }

    Ended read(Duration limit) throws IOException, InterruptedException {
      double limitSeconds = limit.toMillis() / 1e3;
      while (true) {
        double ofItem =
            (running.isPresent() ? part.time().item() : BETWEEN_ITEMS).toMillis() / 1e3
                - (process.seconds() - begunAt);
        double ofPart = limitSeconds - process.seconds();
        double ofCall = deadline.left().toMillis() / 1e3;
        double most = Math.min(ofItem, Math.min(ofPart, ofCall));
        PartProcess.Next next = process.next(Duration.ofMillis((long) (most * 1e3)));
        if (next.timedOut()) {
          return ofCall <= most ? cut() : ofPart <= most ? hung(limit()) : hung();
        }
        if (next.ended()) {
          return ended(process.exitStatus(Duration.ofSeconds(10)));
        }
        take(next.line());
      }
    }

    private void take(String line) throws IOException {
      Optional<JsonNode> json = line.startsWith("{") ? parse(line) : Optional.empty();
      if (json.isEmpty()) {
        plain = PartProcess.tail(plain + line + "\n");
      } else if (json.get().has("begin")) {
        running = Optional.of(json.get().get("begin").asString());
        rows = new ArrayList<>();
        begunAt = process.seconds();
      } else if (json.get().has("end")) {
        String key = json.get().get("end").asString();
        log.ended(key, json.get(), rows, process.seconds() - begunAt);
        running = Optional.empty();
        begunAt = process.seconds();
        last = Optional.of(key);
      } else if (running.isPresent()) {
        rows.add(json.get());
      } else {
        log.remark(json.get());
      }
    }

    private Ended cut() throws IOException {
      if (running.isPresent() && log.cut(running.get()) >= MOST_CUTS) {
        giveUp("cut off by the end of " + MOST_CUTS + " calls", true);
      }
      return new Ended(How.CUT, "", "");
    }

    /** Over the part's limit: nothing is started again. */
    private Ended hung(Ended ended) throws IOException {
      if (running.isPresent()) {
        giveUp(ended.note, true);
      }
      return new Ended(ended.how, ended.note, tail());
    }

    private Ended hung() throws IOException {
      if (running.isPresent()) {
        giveUp("hung: ended after " + part.time().item().toSeconds() + " s", true);
        return new Ended(How.START_AGAIN, "", "");
      }
      return new Ended(
          How.FAILED, "it hung between its items, for " + BETWEEN_ITEMS.toSeconds() + " s", tail());
    }

    private void giveUp(String why, boolean hung) throws IOException {
      log.gaveUp(running.orElseThrow(), why, hung, rows, process.seconds() - begunAt);
      running = Optional.empty();
    }

    private Ended ended(int status) throws IOException {
      if (running.isPresent()) {
        String why = "its process ended with " + status(status) + lastLine();
        giveUp(why, false);
        return new Ended(How.START_AGAIN, "", "");
      }
      if (status == Items.RESTART && last.isPresent()) {
        log.cost(last.get(), 1);
        return new Ended(How.START_AGAIN, "", "");
      }
      if (status == Items.MISSING) {
        return new Ended(How.MISSING, lastLine().replaceFirst("^: ", ""), tail());
      }
      return status == 0
          ? new Ended(How.DONE, "", "")
          : new Ended(How.FAILED, "exit status " + status + lastLine(), tail());
    }

    private static String status(int status) {
      return status > 128 ? "signal " + (status - 128) : "exit status " + status;
    }

    private String lastLine() throws IOException {
      return process
          .errors()
          .lines()
          .filter(line -> !line.isBlank() && !line.startsWith("\tat "))
          .reduce((_, last) -> last)
          .map(line -> ": " + line.strip())
          .orElse("");
    }

    private String tail() throws IOException {
      String errors = process.errors();
      Path sanitizer = scratch.resolve("sanitizer");
      String more = Files.exists(sanitizer) ? Files.readString(sanitizer) : "";
      return PartProcess.tail((errors.isBlank() ? plain : errors) + more);
    }
  }

  private static Optional<JsonNode> parse(String line) {
    try {
      JsonNode node = JSON.readTree(line);
      return node != null && node.isObject() ? Optional.of(node) : Optional.empty();
    } catch (JacksonException e) {
      return Optional.empty(); // not a result, then; that there was none is said
    }
  }

  private Outcome outcome(Ended ended) {
    return judge(part, log, ended.how == How.CUT, ended);
  }

  /** What earlier calls did of a part that this one doesn't start. */
  static Outcome sofar(Part part, ItemLog log) {
    return judge(part, log, true, new Ended(How.CUT, "", ""));
  }

  private static Outcome judge(Part part, ItemLog log, boolean unfinished, Ended ended) {
    Map<String, String> failures = log.failures();
    Outcome.Status status =
        switch (ended.how) {
          case LIMIT -> Outcome.Status.TIMED_OUT;
          case MISSING -> log.isEmpty() ? Outcome.Status.MISSING : Outcome.Status.FAILED;
          case FAILED -> Outcome.Status.FAILED;
          default ->
              unfinished
                  ? Outcome.Status.UNFINISHED
                  : failures.isEmpty() && !log.isEmpty()
                      ? Outcome.Status.PASSED
                      : Outcome.Status.FAILED;
        };
    List<String> notes = new ArrayList<>();
    if (!ended.note.isEmpty()) {
      notes.add(ended.note);
    }
    if (unfinished) {
      notes.add("%d done, goes on in the next call".formatted(log.done().size()));
    } else if (log.isEmpty() && notes.isEmpty()) {
      notes.add("it printed no result");
    }
    failures.forEach((key, why) -> notes.add(key + ": " + why));
    return Outcome.plain(part, status, log.seconds(), String.join("; ", notes), ended.tail)
        .with(log.rows(), log.tests());
  }
}
