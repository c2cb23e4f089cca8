package dev.lathe.cli;

import dev.lathe.optimize.ProgressSink;
import dev.lathe.report.Stage;

/** An optimize run on stderr: what it does, how far it is, what was decided and why. */
record ProgressLines(Progress progress, Console console) implements ProgressSink {

  @Override
  public void begin(String what) {
    Cancellation.check();
    progress.begin(what);
  }

  @Override
  public void progress(long done, long total) {
    progress.update(done, total);
  }

  @Override
  public void decided(Stage stage, boolean reused) {
    progress.close();
    String verdict = stage.accepted() ? "accepted" : "REVERTED";
    console
        .err()
        .println(
            "%s: %s%s: %s"
                .formatted(stage.name(), verdict, reused ? " (before)" : "", stage.reason()));
  }

  @Override
  public void note(String message) {
    progress.close();
    console.err().println(message);
  }
}
