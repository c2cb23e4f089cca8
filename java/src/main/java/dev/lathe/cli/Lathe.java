package dev.lathe.cli;

import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command itself: what its verbs share. */
@Command(
    name = "lathe",
    description =
        "Takes a neural network that works and turns it into one that ships: measures it, optimizes"
            + " it, and validates every cut.",
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    subcommands = {
      DoctorCommand.class,
      OptimizeCommand.class,
      GenerateCommand.class,
      EvalCommand.class,
      ProfileCommand.class,
      QuantizeCommand.class,
      PruneCommand.class,
      FinetuneCommand.class,
      ConvertCommand.class,
      ReportCommand.class
    },
    footer = {
      "",
      "Exit codes: 0 fine; 1 failed while running; 2 what was asked for is wrong; 3 the backend that"
          + " was asked for is not usable here; 4 a quality or service target was not met; 130"
          + " interrupted."
    })
final class Lathe implements Runnable {
  private final Console console;

  @Spec private CommandSpec spec;

  @Option(
      names = "--debug",
      scope = ScopeType.INHERIT,
      description = "Print stack traces of errors.")
  private boolean debug;

  Lathe(Console console) {
    this.console = console;
  }

  Console console() {
    return console;
  }

  boolean debug() {
    return debug;
  }

  @Override
  public void run() {
    throw new CommandLine.ParameterException(
        spec.commandLine(),
        "a verb is missing; there are " + String.join(", ", spec.subcommands().keySet()));
  }
}
