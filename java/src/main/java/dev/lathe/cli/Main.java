package dev.lathe.cli;

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
    PrintStream out = stream(FileDescriptor.out);
    PrintStream err = stream(FileDescriptor.err);
    // Only results go to stdout: what a library prints there would break the one JSON object.
    System.setOut(err);
    System.setErr(err);
    Interrupt interrupt = Interrupt.install(Thread.currentThread());
    int code = Cli.run(args, new Console(out, err));
    out.flush();
    err.flush();
    if (out.checkError() && code == 0) {
      // A closed pipe or a full disk behind a redirection: what was asked for did not arrive.
      err.println("lathe: the results could not be written to stdout: closed pipe or full disk?");
      code = 1;
    }
    interrupt.finished(code);
    System.exit(code);
  }

  private static PrintStream stream(FileDescriptor descriptor) {
    return new PrintStream(new FileOutputStream(descriptor), true, StandardCharsets.UTF_8);
  }
}
