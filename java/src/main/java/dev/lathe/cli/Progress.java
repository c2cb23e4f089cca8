package dev.lathe.cli;

import java.io.PrintStream;
import java.util.function.LongSupplier;

/**
 * Shows on stderr how far a long piece of work is, from two seconds on: in place on a terminal,
 * else as a line now and then. Each update is also where Ctrl-C is heard.
 */
final class Progress implements AutoCloseable {
  private static final long FIRST_NANOS = 2_000_000_000L;
  private static final long TERMINAL_NANOS = 200_000_000L;
  private static final long LINES_NANOS = 10_000_000_000L;

  private final PrintStream err;
  private final boolean terminal;
  private final LongSupplier clock;
  private String what = "";
  private long started;
  private long next;
  private int width;

  Progress(Console console) {
    this(console.err(), Boolean.getBoolean("lathe.terminal"), System::nanoTime);
  }

  Progress(PrintStream err, boolean terminal, LongSupplier clock) {
    this.err = err;
    this.terminal = terminal;
    this.clock = clock;
    begin("");
  }

  /** Another piece of work begins. */
  void begin(String newWhat) {
    close();
    what = newWhat;
    started = clock.getAsLong();
    next = started + FIRST_NANOS;
  }

  /**
   * The work goes on; another name than before begins another piece.
   *
   * @param name of the piece: {@code eval}
   * @param done so far
   * @param total at the end; 0 where unknown
   * @param unit of both: {@code tokens}
   */
  void update(String name, long done, long total, String unit) {
    if (!name.equals(what)) {
      begin(name);
    }
    show(done, total, " " + unit);
  }

  /** The piece that began last goes on, in units that have no name. */
  void update(long done, long total) {
    show(done, total, "");
  }

  private void show(long done, long total, String unit) {
    Cancellation.check();
    long now = clock.getAsLong();
    if (now - next < 0) {
      return;
    }
    next = now + (terminal ? TERMINAL_NANOS : LINES_NANOS);
    double seconds = (now - started) / 1e9;
    StringBuilder line = new StringBuilder(what).append(":");
    if (total > 0) {
      line.append(" %d/%d%s (%d%%)".formatted(done, total, unit, 100 * done / total));
    } else {
      line.append(" %d%s".formatted(done, unit));
    }
    line.append(", %.0f s".formatted(seconds));
    if (total > 0 && done > 0 && done < total) {
      line.append(", about %.0f s left".formatted(seconds * (total - done) / done));
    }
    if (terminal) {
      err.print("\r" + line + " ".repeat(Math.max(0, width - line.length())));
      err.flush();
      width = line.length();
    } else {
      err.println(line);
    }
  }

  /** Removes what stands on the terminal's line. */
  @Override
  public void close() {
    if (width > 0) {
      err.print("\r" + " ".repeat(width) + "\r");
      err.flush();
      width = 0;
    }
  }
}
