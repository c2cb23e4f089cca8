package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

/** Command lines that are wrong before anything is read. */
class UsageTest {

  @Test
  void aVerbIsNeeded() {
    Run.lathe().refused(2).says("a verb is missing", "doctor", "Try 'lathe --help'.");
  }

  @Test
  void anUnknownVerbIsNamed() {
    Run.lathe("polish").refused(2).says("polish");
  }

  @Test
  void anUnknownOptionIsNamedWithItsVerb() {
    Run.lathe("doctor", "--jsn").refused(2).says("--jsn", "Try 'lathe doctor --help'.");
  }

  @Test
  void helpGoesToStdoutAndListsVerbsAndExitCodes() {
    Run help = Run.lathe("--help");
    assertThat(help.code()).isZero();
    assertThat(help.out()).contains("doctor").contains("Exit codes:");
    assertThat(help.err()).isEmpty();
  }

  @Test
  void versionNamesLatheAndTheJdk() {
    Run version = Run.lathe("--version");
    assertThat(version.code()).isZero();
    assertThat(version.out()).startsWith("lathe ").contains("JDK " + Runtime.version());
  }
}
