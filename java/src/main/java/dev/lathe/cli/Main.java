package dev.lathe.cli;

import dev.lathe.error.LatheException;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** What {@code scripts/lathe} starts. */
public final class Main {
  private Main() {}

  public static void main(String[] args) {
    // Figures read the same everywhere, and text is UTF-8 whatever the terminal claims.
    Locale.setDefault(Locale.ROOT);
    Stdout stdout = new Stdout(new FileOutputStream(FileDescriptor.out));
    PrintStream out = new PrintStream(stdout, true, StandardCharsets.UTF_8);
    PrintStream err =
        new PrintStream(new FileOutputStream(FileDescriptor.err), true, StandardCharsets.UTF_8);
    // Only results go to stdout: what a library prints there would break the one JSON object.
    System.setOut(err);
    System.setErr(err);
    Interrupt interrupt = Interrupt.install(Thread.currentThread());
    int code = Cli.run(args, new Console(out, err));
    out.flush();
    if (code == 0 && stdout.lost().isPresent()) {
      err.println("lathe: " + stdout.lost().get());
      code = LatheException.FAILED;
    }
    err.flush();
    interrupt.finished(code);
    System.exit(code);
  }
}
