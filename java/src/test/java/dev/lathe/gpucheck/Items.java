package dev.lathe.gpucheck;

import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * How a process that does many things tells {@code scripts/gpu-check} which of them are done: a
 * JSON object a line, <code>{"begin": KEY}</code>, rows, <code>{"end": KEY}</code>. A process that
 * crashed or hung is started again with the keys that are done, so it goes on behind the one that
 * was its end. The same lines are in scripts/peers/items.py.
 *
 * <pre>{@code
 * Items items = Items.of(System.out);
 * items.run("linear_bf16 1 x 8192 x 8192", () -> items.row(...));
 * }</pre>
 */
public final class Items {
  /** Names a file with a key a line; {@code CLASS#*} stands for all of a class. */
  static final String DONE_VARIABLE = "LATHE_GPU_CHECK_DONE";

  /** Ends a process in which CUDA is lost: it is started again with what is left. */
  static final int RESTART = 76;

  /** Ends a process that can't run here; the last line of stderr says why. */
  static final int MISSING = 69;

  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final PrintStream out;
  private final Set<String> done;

  public Items(PrintStream out, Set<String> done) {
    this.out = out;
    this.done = Set.copyOf(done);
  }

  /** With the keys that gpu-check says are done; none where it isn't who started this process. */
  public static Items of(PrintStream out) {
    String file = System.getenv(DONE_VARIABLE);
    try {
      return new Items(
          out, file == null ? Set.of() : new HashSet<>(Files.readAllLines(Path.of(file))));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  boolean wants(String key) {
    int method = key.indexOf('#');
    return !done.contains(key) && (method < 0 || !done.contains(key.substring(0, method) + "#*"));
  }

  /**
   * Runs what isn't done. What it throws is written down as its failure and the next goes on,
   * unless CUDA can't be used any more: then the process ends with {@link #RESTART}.
   */
  public void run(String key, Runnable body) {
    if (!wants(key)) {
      return;
    }
    begin(key);
    ObjectNode end = object().put("end", key);
    boolean lost = false;
    try {
      body.run();
    } catch (RuntimeException | AssertionError e) {
      end.put("failed", message(e));
      e.printStackTrace();
      lost = losesCuda(e);
    }
    print(end);
    if (lost) {
      System.exit(RESTART);
    }
  }

  void begin(String key) {
    print(object().put("begin", key));
  }

  /** A row of what is running, or a remark between. */
  public void row(ObjectNode row) {
    print(row);
  }

  void print(ObjectNode line) {
    out.println(line);
    if (out.checkError()) {
      System.exit(1); // whoever started this has gone, and would start another beside it
    }
  }

  static ObjectNode object() {
    return JSON.createObjectNode();
  }

  /** In one line. */
  static String message(Throwable failure) {
    String text = String.valueOf(failure.getMessage()).strip().replaceAll("\\s+", " ");
    text = text.length() <= 600 ? text : text.substring(0, 600) + " ...";
    boolean ours = failure.getClass().getName().startsWith("dev.lathe");
    return ours ? text : failure.getClass().getSimpleName() + ": " + text;
  }

  /**
   * Errors of a kernel stick to the process on a real GPU: everything that uses CUDA after them
   * fails, whatever it is.
   */
  static boolean losesCuda(Throwable failure) {
    for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
      String text = String.valueOf(cause.getMessage());
      if (text.contains("CUDA")
          && text.matches(
              "(?s).*CUDA_ERROR_(ILLEGAL_|LAUNCH_|MISALIGNED_|INVALID_ADDRESS_SPACE|INVALID_PC|ASSERT"
                  + "|HARDWARE_STACK|ECC_|UNKNOWN|DEVICE_UNAVAILABLE).*")) {
        return true;
      }
    }
    return false;
  }
}
