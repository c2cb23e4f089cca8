package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.gpucheck.Outcome.Status;
import dev.lathe.gpucheck.Part.Kind;
import dev.lathe.gpucheck.Part.Time;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Parts that pass, fail, crash, hang, are cut off and can't be started, and none is taken for
 * another.
 */
class PartRunnerTest {
  /** As a process with items does it: each word an item, what is done left out. */
  private static final String FUNCTIONS =
      """
      wants() { ! grep -qxF -e "$1" -e "${1%%#*}#*" "$LATHE_GPU_CHECK_DONE"; }
      begin() { echo "{\\"begin\\": \\"$1\\"}"; }
      end() { echo "{\\"end\\": \\"$1\\"}"; }
      row() { echo "{\\"bench\\": \\"$1\\"}"; }
      item() { if wants "$1"; then begin "$1"; row "$1"; end "$1"; fi; }
      """;

  @TempDir private Path folder;
  private Store store;
  private PartRunner runner;

  @BeforeEach
  void open() throws Exception {
    store = new Store(folder, "gpu", "commit");
    runner = new PartRunner(store, Optional.empty());
  }

  private static Part shell(Kind kind, String script, Time time) {
    String whole = kind == Kind.ITEMS ? FUNCTIONS + script : script;
    return Part.of(
        "group", "name", kind, List.of("sh", "-c", whole), Map.of("GREETING", "hello"), time);
  }

  private static Part items(String script) {
    return shell(Kind.ITEMS, script, Time.seconds(1, 20, 60));
  }

  private Outcome run(Part part) throws Exception {
    return runner.run(part, Deadline.never(), true);
  }

  private static Deadline seconds(int seconds) {
    // Three seconds are kept for the report.
    return new Deadline(System.nanoTime(), Optional.of(Duration.ofSeconds(seconds + 3)));
  }

  @Test
  void rowsAreKeptAsTheyWere() throws Exception {
    Outcome outcome =
        run(
            items(
                "echo $GREETING; echo '{\"remark\": 1}'; begin a; echo '{\"a\": [1.5, 2]}';"
                    + " echo '{broken'; end a; item b"));
    assertThat(outcome.status()).isEqualTo(Status.PASSED);
    assertThat(outcome.data().toString())
        .isEqualTo("[{\"remark\":1},{\"a\":[1.5,2]},{\"bench\":\"b\"}]");
  }

  @Test
  void nothingPrintedIsAFailure() throws Exception {
    Outcome items = run(items("echo hello"));
    assertThat(items.status()).isEqualTo(Status.FAILED);
    assertThat(items.note()).isEqualTo("it printed no result");
    Time time = Time.seconds(1, 0, 20);
    assertThat(run(shell(Kind.OBJECT, "echo hello", time)).status()).isEqualTo(Status.FAILED);
    assertThat(run(shell(Kind.OBJECT, "printf '{\n}'", time)).status()).isEqualTo(Status.PASSED);
  }

  @Test
  void exitStatusIsAFailureWithWhatLatheSaid() throws Exception {
    String script = "echo '{}'; echo 'lathe: no room' >&2; exit 3";
    Outcome outcome = run(shell(Kind.OBJECT, script, Time.seconds(1, 0, 20)));
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.note()).isEqualTo("exit status 3: no room");
    assertThat(outcome.tail()).contains("no room");
    Outcome items = run(items("item a; echo 'no room' >&2; exit 3"));
    assertThat(items.status()).isEqualTo(Status.FAILED);
    assertThat(items.note()).isEqualTo("exit status 3: no room");
    assertThat(items.data().size()).isEqualTo(1);
  }

  @Test
  void itemThatFailedFailsThePartAndNothingElse() throws Exception {
    Outcome outcome =
        run(items("begin a; echo '{\"end\": \"a\", \"failed\": \"wrong sum\"}'; item b"));
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.note()).isEqualTo("a: wrong sum");
    assertThat(outcome.data().toString()).isEqualTo("[{\"bench\":\"b\"}]");
  }

  @Test
  void crashCostsItsItemOnly() throws Exception {
    Outcome outcome =
        run(items("item a; if wants b; then begin b; row half; kill -SEGV $$; fi; item c"));
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.note()).startsWith("b: its process ended with signal 11");
    assertThat(outcome.data().toString())
        .isEqualTo("[{\"bench\":\"a\"},{\"bench\":\"half\"},{\"bench\":\"c\"}]");
  }

  @Test
  void hangCostsItsLimitOnlyAndItsChildrenEnd() throws Exception {
    Path pid = folder.resolve("pid");
    String hang = "begin b; sleep 300 & echo $! >" + pid + "; wait";
    Part part =
        shell(
            Kind.ITEMS,
            "item a; if wants b; then " + hang + "; fi; item c",
            Time.seconds(1, 2, 60));
    Outcome outcome = run(part);
    assertThat(outcome.note()).isEqualTo("b: hung: ended after 2 s");
    assertThat(outcome.data().size()).isEqualTo(2);
    long child = Long.parseLong(Files.readString(pid).strip());
    ProcessHandle.of(child)
        .ifPresent(handle -> handle.onExit().orTimeout(10, TimeUnit.SECONDS).join());
    assertThat(ProcessHandle.of(child).filter(ProcessHandle::isAlive)).isEmpty();
  }

  @Test
  void classThatHangsAgainAndAgainIsGivenUp() throws Exception {
    String hang = "for i in 1 2 3 4; do if wants K#$i; then begin K#$i; sleep 300; fi; done";
    Outcome outcome = run(shell(Kind.ITEMS, hang + "; item L#1", Time.seconds(1, 1, 60)));
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.note())
        .contains("K#1: hung", "K#2: hung", "K#*: the rest of it was not run")
        .doesNotContain("K#3");
    assertThat(outcome.data().toString()).isEqualTo("[{\"bench\":\"L#1\"}]");
  }

  @Test
  void wholePartHasALimitToo() throws Exception {
    Part part =
        shell(
            Kind.ITEMS,
            "for i in 1 2 3 4 5 6 7 8 9; do if wants $i; then begin $i; sleep 300; fi; done",
            Time.seconds(1, 1, 2));
    Outcome outcome = run(part);
    assertThat(outcome.status()).isEqualTo(Status.TIMED_OUT);
    assertThat(outcome.note()).startsWith("ended after its limit of 2 s");
    Outcome object = run(shell(Kind.OBJECT, "sleep 300", Time.seconds(1, 0, 1)));
    assertThat(object.status()).isEqualTo(Status.TIMED_OUT);
    assertThat(object.note()).isEqualTo("ended after its limit of 1 s");
  }

  @Test
  void endOfTheCallFailsNothingAndTheNextCallGoesOn() throws Exception {
    Path slow = folder.resolve("slow");
    Files.createFile(slow);
    String wait = "begin b; row half; while [ -e " + slow + " ]; do sleep 0.1; done; row b; end b";
    Part part = items("item a; if wants b; then " + wait + "; fi; item c");
    Outcome cut = runner.run(part, seconds(2), true);
    assertThat(cut.status()).isEqualTo(Status.UNFINISHED);
    assertThat(cut.bad()).isFalse();
    assertThat(cut.data().toString()).isEqualTo("[{\"bench\":\"a\"}]");
    // A call that was killed has written no outcome; the items are there all the same.
    assertThat(ItemRunner.sofar(part, store.items(part)).data().size()).isEqualTo(1);
    Files.delete(slow);
    Outcome whole = run(part);
    assertThat(whole.status()).isEqualTo(Status.PASSED);
    assertThat(whole.data().toString())
        .isEqualTo("[{\"bench\":\"a\"},{\"bench\":\"half\"},{\"bench\":\"b\"},{\"bench\":\"c\"}]");
  }

  @Test
  void itemLongerThanTwoCallsIsGivenUp() throws Exception {
    Part part = items("if wants a; then begin a; sleep 300; fi; item b");
    assertThat(runner.run(part, seconds(1), true).status()).isEqualTo(Status.UNFINISHED);
    assertThat(runner.run(part, seconds(1), true).status()).isEqualTo(Status.UNFINISHED);
    Outcome third = run(part);
    assertThat(third.status()).isEqualTo(Status.FAILED);
    assertThat(third.note()).isEqualTo("a: cut off by the end of 2 calls");
    assertThat(third.data().toString()).isEqualTo("[{\"bench\":\"b\"}]");
  }

  @Test
  void objectIsCutOffOrTooLongForAnyCall() throws Exception {
    Part part = shell(Kind.OBJECT, "sleep 300", Time.seconds(1, 0, 60));
    assertThat(runner.run(part, seconds(1), false).status()).isEqualTo(Status.UNFINISHED);
    Outcome alone = runner.run(part, seconds(1), true);
    assertThat(alone.status()).isEqualTo(Status.TIMED_OUT);
    assertThat(alone.note()).isEqualTo("a whole call is too short for it");
  }

  @Test
  void processThatLostCudaIsStartedAgain() throws Exception {
    Outcome outcome =
        run(
            items(
                "item a; if wants b; then begin b; echo '{\"end\": \"b\", \"failed\": \"sticky\"}';"
                    + " exit 76; fi; item c"));
    assertThat(outcome.note()).isEqualTo("b: sticky");
    assertThat(outcome.data().size()).isEqualTo(2);
    Outcome forNothing =
        run(
            new Part(
                "group",
                "never",
                Kind.ITEMS,
                List.of("sh", "-c", "exit 76"),
                Map.of(),
                Time.seconds(1, 1, 20),
                ""));
    assertThat(forNothing.status()).isEqualTo(Status.FAILED);
    assertThat(forNothing.note()).isEqualTo("exit status 76");
  }

  @Test
  void whatCantRunHereIsMissingAndNotFailed() throws Exception {
    Outcome outcome = run(items("echo 'no PyTorch: none' >&2; exit 69"));
    assertThat(outcome.status()).isEqualTo(Status.MISSING);
    assertThat(outcome.note()).isEqualTo("no PyTorch: none");
    Part absent =
        Part.of(
            "group",
            "absent",
            Kind.ITEMS,
            List.of("/no/such/program"),
            Map.of(),
            Time.seconds(1, 1, 1));
    assertThat(run(absent).status()).isEqualTo(Status.MISSING);
    Outcome planned = run(Part.missing("group", "planned", Kind.ITEMS, "not written yet"));
    assertThat(planned.status()).isEqualTo(Status.MISSING);
    assertThat(planned.note()).isEqualTo("not written yet");
  }

  @Test
  void failuresAreRunAgainAndTheRestIsKept() throws Exception {
    Path mended = folder.resolve("mended");
    String b =
        "begin b; if [ -e %s ]; then end b; else echo '{\"end\": \"b\", \"failed\": \"no\"}'; fi"
            .formatted(mended);
    Part part = items("item a; if wants b; then " + b + "; fi");
    assertThat(run(part).status()).isEqualTo(Status.FAILED);
    Files.createFile(mended);
    ItemLog log = store.items(part);
    log.forgetFailures();
    assertThat(log.done()).containsExactly("a");
    assertThat(run(part).status()).isEqualTo(Status.PASSED);
  }

  @Test
  void halfALineOfTheLogIsAnItemThatIsRunAgain() throws Exception {
    Part part = items("item a; item b");
    run(part);
    Path log = store.folder().resolve("group.name.items.jsonl");
    Files.writeString(log, "{\"item\": \"c\", \"ro", StandardOpenOption.APPEND);
    assertThat(store.items(part).done()).containsExactly("a", "b");
  }

  @Test
  void outcomeIsFoundAgainAsItWasAndSaysHowLongThePartTakes() throws Exception {
    Part part = items("item a");
    assertThat(store.find(part)).isEmpty();
    assertThat(store.expected(part)).isEqualTo(Duration.ofSeconds(1));
    Outcome outcome = run(part);
    store.put(outcome);
    assertThat(store.find(part)).contains(outcome);
    Store later = new Store(folder, "gpu", "other-commit");
    assertThat(later.find(part)).isEmpty();
    assertThat(later.expected(part))
        .isEqualTo(Duration.ofMillis(Math.round(outcome.seconds() * 1000)));
    assertThat(new Store(folder, "another", "commit").expected(part))
        .isEqualTo(Duration.ofSeconds(1));
    store.forget(part);
    assertThat(store.find(part)).isEmpty();
    assertThat(store.items(part).isEmpty()).isTrue();
  }
}
