package dev.lathe.cli;

import java.io.PrintStream;

/**
 * Where a verb writes.
 *
 * @param out results, and nothing else
 * @param err progress, logs and messages
 */
record Console(PrintStream out, PrintStream err) {}
