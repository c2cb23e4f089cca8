package dev.lathe.gpucheck;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** scripts/peers against a stand-in for PyTorch, by its own tests. */
class PeersTest {
  @Test
  void scriptsRunOnAStandInForPyTorch() throws Exception {
    Optional<String> python = Programs.python();
    assumeTrue(python.isPresent(), Programs.pythonName() + " is not installed");
    Path tests = Path.of(System.getProperty("lathe.root"), "scripts/peers/test_peers.py");
    ProcessBuilder builder =
        new ProcessBuilder(List.of(python.get(), tests.toString())).redirectErrorStream(true);
    builder.environment().put("PYTHONDONTWRITEBYTECODE", "1");
    builder.environment().remove("PYTHONPATH");
    Process process = builder.start();
    String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertThat(process.waitFor(2, TimeUnit.MINUTES)).isTrue();
    assertThat(process.exitValue()).as(said).isZero();
    assertThat(said).containsPattern("Ran \\d+ tests");
  }
}
