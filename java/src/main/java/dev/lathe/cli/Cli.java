package dev.lathe.cli;

import java.io.OutputStreamWriter;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import picocli.CommandLine;

/** Runs one command line and gives its exit code; never ends the JVM. */
final class Cli {
  private Cli() {}

  static int run(String[] args, Console console) {
    Lathe lathe = new Lathe(console);
    CommandLine line = new CommandLine(lathe);
    line.setCaseInsensitiveEnumValuesAllowed(true);
    line.setOut(writer(console.out()));
    line.setErr(writer(console.err()));
    line.setParameterExceptionHandler((wrong, ignored) -> {
      String verb = wrong.getCommandLine().getCommandSpec().qualifiedName();
      console.err().println("lathe: " + Failures.oneLine(wrong.getMessage()));
      console.err().println("Try '" + verb + " --help'.");
      return CommandLine.ExitCode.USAGE;
    });
    line.setExecutionExceptionHandler(
        (failure, ignored, parsed) -> Failures.report(failure, console.err(), lathe.debug()));
    try {
      return line.execute(args);
    } catch (OutOfMemoryError | StackOverflowError | LinkageError failure) {
      // Errors pass through picocli; these have something to tell a user.
      return Failures.report(failure, console.err(), lathe.debug());
    }
  }

  private static PrintWriter writer(PrintStream stream) {
    return new PrintWriter(new OutputStreamWriter(stream, StandardCharsets.UTF_8), true);
  }
}
