package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;

import dev.lathe.gpucheck.Outcome.Status;
import dev.lathe.gpucheck.Part.Kind;
import dev.lathe.gpucheck.Part.Time;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Classes of tests in one process, and what becomes of those behind one that took it along. */
class TestProcessTest {
  private static final String FIXTURE = "dev.lathe.gpucheck.ProcessFixture$";

  @TempDir private Path folder;

  private Outcome run(String... classes) throws Exception {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                TestProcess.class.getName()));
    for (String name : classes) {
      command.add(FIXTURE + name);
    }
    Part part = Part.of("tests", "x", Kind.ITEMS, command, Map.of(), Time.seconds(1, 60, 300));
    PartRunner runner = new PartRunner(new Store(folder, "gpu", "commit"), Optional.empty());
    return runner.run(part, Deadline.never(), true);
  }

  @Test
  void everyTestIsCountedAsWhatItCameTo() throws Exception {
    Outcome outcome = run("Mixed", "Unprepared");
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.tests().get("run").intValue()).isEqualTo(5);
    assertThat(outcome.tests().get("failed").intValue()).isEqualTo(2);
    assertThat(outcome.tests().get("skipped").intValue()).isEqualTo(2);
    assertThat(outcome.tests().get("skipped_because").toString())
        .contains("\"no tea\":1", "\"no kettle\":1");
    assertThat(outcome.note())
        .contains(
            "gpucheck.ProcessFixture$Mixed#fails: AssertionFailedError: expected: <1> but was: <2>",
            "gpucheck.ProcessFixture$Mixed#oneOfThreeFails: [3]")
        .doesNotContain("passes");
    assertThat(outcome.data().isEmpty()).isTrue();
  }

  @Test
  void whatComesBehindALostDeviceOrACrashRunsInAnotherProcess() throws Exception {
    Outcome outcome = run("Losing", "Crashing");
    assertThat(outcome.status()).isEqualTo(Status.FAILED);
    assertThat(outcome.tests().get("run").intValue()).isEqualTo(3); // who crashed wasn't counted
    assertThat(outcome.tests().get("failed").intValue()).isEqualTo(2);
    assertThat(outcome.note())
        .contains("Losing#losesCuda: IllegalStateException: CUDA failed", "Crashing#crashes: its")
        .contains("exit status 7");
  }
}
