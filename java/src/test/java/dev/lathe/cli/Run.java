package dev.lathe.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** What one command line did, run in this JVM. */
record Run(int code, String out, String err) {

  static Run lathe(String... args) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    Console console =
        new Console(
            new PrintStream(out, true, StandardCharsets.UTF_8),
            new PrintStream(err, true, StandardCharsets.UTF_8));
    int code = Cli.run(args, console);
    return new Run(
        code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
  }

  /** Stdout as exactly one JSON object; fails on anything before or after it. */
  ObjectNode json() {
    assertThat(code).as("exit code; stderr: %s", err).isZero();
    return JsonMapper.builder()
        .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
        .build()
        .readValue(out, ObjectNode.class);
  }

  /** It was refused as wrong, with one line that starts so, no stack trace, nothing on stdout. */
  Run refused(int expectedCode) {
    assertThat(code).as("exit code; stderr: %s", err).isEqualTo(expectedCode);
    assertThat(out).isEmpty();
    assertThat(err).startsWith("lathe: ").doesNotContain("\tat ").doesNotContain("Exception");
    assertThat(err.lines().filter(line -> !line.startsWith("Try '"))).hasSize(1);
    return this;
  }

  Run says(String... parts) {
    assertThat(err).contains(parts);
    return this;
  }
}
