package dev.lathe.cli;

import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.ParentCommand;
import tools.jackson.databind.node.ObjectNode;

@Command(
    name = "doctor",
    description = "What this machine can run, and why not.",
    mixinStandardHelpOptions = true)
final class DoctorCommand implements Callable<Integer> {
  @ParentCommand private Lathe lathe;
  @Mixin private JsonOption output;

  @Override
  public Integer call() {
    ObjectNode result = Json.object();
    result.put("version", Version.current());
    if (output.json) {
      Json.print(result, lathe.console().out());
    } else {
      lathe.console().out().println("lathe " + Version.current());
    }
    return 0;
  }
}
