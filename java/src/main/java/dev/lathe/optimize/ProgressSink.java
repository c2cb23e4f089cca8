package dev.lathe.optimize;

import dev.lathe.report.Stage;

/** Hears how far a run is. Called by the thread that runs it. */
public interface ProgressSink {

  /** A part of the run begins: {@code prune 50 %: evaluate}. */
  void begin(String what);

  /**
   * The part that began last goes on.
   *
   * @param done so far, in units of the caller's choice
   * @param total when it will be done; 0 where unknown
   */
  void progress(long done, long total);

  /** A stage has been decided; {@code reused} where an interrupted run had decided it before. */
  void decided(Stage stage, boolean reused);

  /** Something that the user should know. */
  void note(String message);

  /** Nothing is shown. */
  ProgressSink SILENT =
      new ProgressSink() {
        @Override
        public void begin(String what) {}

        @Override
        public void progress(long done, long total) {}

        @Override
        public void decided(Stage stage, boolean reused) {}

        @Override
        public void note(String message) {}
      };
}
