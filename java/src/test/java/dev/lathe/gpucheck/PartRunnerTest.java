package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.gpucheck.Outcome.Status;
import dev.lathe.gpucheck.Part.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Parts that pass, fail, hang, print nothing and can't be started, and none is taken for another.
 */
class PartRunnerTest {
  @TempDir private Path folder;
  private Store store;
  private PartRunner runner;

  @BeforeEach
  void open() throws Exception {
    store = new Store(folder);
    runner = new PartRunner(store, Optional.empty());
  }

  private static Part shell(Kind kind, String script) {
    return Part.of(
        "group",
        "name",
        kind,
        List.of("sh", "-c", script),
        Map.of("GREETING", "hello"),
        Duration.ofSeconds(20));
  }

  @Test
  void linesThatAreObjectsAreKeptAsTheyWere() throws Exception {
    Outcome outcome =
        runner.run(shell(Kind.LINES, "echo $GREETING; echo '{\"a\": [1.5, 2]}'; echo '{broken'"));
    assertThat(outcome.status()).isEqualTo(Status.PASSED);
    assertThat(outcome.data().toString()).isEqualTo("[{\"a\":[1.5,2]}]");
  }

  @Test
  void nothingPrintedIsAFailure() throws Exception {
    Outcome lines = runner.run(shell(Kind.LINES, "echo hello"));
    assertThat(lines.status()).isEqualTo(Status.FAILED);
    assertThat(lines.note()).isEqualTo("it printed no result");
    assertThat(runner.run(shell(Kind.OBJECT, "echo hello")).status()).isEqualTo(Status.FAILED);
    assertThat(runner.run(shell(Kind.TESTS, "true")).note()).isEqualTo("no test was found");
  }

  @Test
  void exitStatusIsAFailureWithWhatLatheSaid() throws Exception {
    Outcome outcome =
        runner.run(shell(Kind.OBJECT, "echo '{}'; echo 'lathe: no room' >&2; exit 3"));
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.note()).isEqualTo("exit status 3: no room");
    assertThat(outcome.tail()).contains("no room");
  }

  @Test
  void hangingPartIsEndedWithItsChildren() throws Exception {
    Path pid = folder.resolve("pid");
    Part part =
        Part.of(
            "group",
            "name",
            Kind.LINES,
            List.of("sh", "-c", "echo '{}'; sleep 300 & echo $! >" + pid + "; wait"),
            Map.of(),
            Duration.ofSeconds(1));
    Outcome outcome = runner.run(part);
    assertThat(outcome.status()).isEqualTo(Status.TIMED_OUT);
    assertThat(outcome.note()).isEqualTo("ended after its limit of 1 s");
    long child = Long.parseLong(Files.readString(pid).strip());
    ProcessHandle.of(child)
        .ifPresent(handle -> handle.onExit().orTimeout(10, TimeUnit.SECONDS).join());
    assertThat(ProcessHandle.of(child).filter(ProcessHandle::isAlive)).isEmpty();
  }

  @Test
  void whatCantBeStartedIsMissing() throws Exception {
    Part absent =
        Part.of(
            "group",
            "name",
            Kind.LINES,
            List.of("/no/such/program"),
            Map.of(),
            Duration.ofSeconds(1));
    assertThat(runner.run(absent).status()).isEqualTo(Status.MISSING);
    Outcome planned = runner.run(Part.missing("group", "name", Kind.LINES, "not written yet"));
    assertThat(planned.status()).isEqualTo(Status.MISSING);
    assertThat(planned.note()).isEqualTo("not written yet");
  }

  @Test
  void testsAreCountedAndSkippedOnesSayWhy() throws Exception {
    String xml =
        """
        <testsuite name="JUnit Jupiter" tests="5" skipped="2" failures="1" errors="0" time="1">
        <testcase name="a"><skipped type="x"><![CDATA[org.opentest4j.TestAbortedException: Assumption failed: no GPU
        at somewhere]]></skipped></testcase>
        <testcase name="b"><skipped><![CDATA[org.opentest4j.TestAbortedException: Assumption failed: no GPU]]></skipped></testcase>
        </testsuite>
        """;
    Files.writeString(folder.resolve("report"), xml);
    Part part =
        Part.of(
            "group",
            "name",
            Kind.TESTS,
            List.of(
                "sh",
                "-c",
                "cp "
                    + folder.resolve("report")
                    + " "
                    + PartRunner.SCRATCH
                    + "/TEST-a.xml; exit 1"),
            Map.of(),
            Duration.ofSeconds(20));
    Outcome outcome = runner.run(part);
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.tests().toString())
        .isEqualTo("{\"run\":3,\"failed\":1,\"skipped\":2,\"skipped_because\":{\"no GPU\":2}}");
  }

  @Test
  void outcomeIsFoundAgainAsItWas() throws Exception {
    Part part = shell(Kind.LINES, "echo '{\"samples_us\": [1, 2]}'");
    assertThat(store.find(part)).isEmpty();
    Outcome outcome = runner.run(part);
    store.put(outcome);
    assertThat(store.find(part)).contains(outcome);
    assertThat(new Store(folder).find(part)).contains(outcome);
  }
}
