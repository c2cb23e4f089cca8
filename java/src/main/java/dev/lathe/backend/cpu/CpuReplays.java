package dev.lathe.backend.cpu;

import static dev.lathe.backend.cpu.CpuLibrary.unexpected;

import dev.lathe.backend.cpu.CpuLibrary.Symbols;
import java.util.Iterator;
import java.util.LinkedHashMap;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Steps that are repeated, as recordings of the native library: one call instead of dozens, and one
 * hand-over to each thread ({@code chain.h}).
 *
 * <p>The first time, operations just run. The second time they are recorded while they run, and
 * from then on the recording is replayed. Not every step can be: large matrices are divided among
 * threads, product by product. Such a step keeps running as it does.
 */
final class CpuReplays implements AutoCloseable {
  private static final Logger log = LoggerFactory.getLogger(CpuReplays.class);

  /** Batch sizes and lengths of block tables that are in use together; each takes some 10 KB. */
  private static final int MOST = 64;

  /** Of a step that ran once. */
  private static final long ONCE = 0;

  /** Of a step that can't be replayed. */
  private static final long NEVER = -1;

  private static final int CHANGED = 7;

  private final long context;

  /** Addresses of recordings, least recently used first. */
  private final LinkedHashMap<Object, Long> recordings = new LinkedHashMap<>(16, 0.75f, true);

  private long replays;

  CpuReplays(long context) {
    this.context = context;
  }

  void run(Object key, Runnable operations) {
    Long known = recordings.get(key);
    if (known == null) {
      operations.run();
      remember(key, ONCE);
    } else if (known == ONCE) {
      remember(key, record(operations));
    } else if (known == NEVER || !replay(known)) {
      operations.run();
    }
  }

  private long record(Runnable operations) {
    try {
      int status = (int) Symbols.RECORD.invokeExact(context);
      CpuBackend.check("record", status);
    } catch (Throwable e) {
      throw unexpected(e);
    }
    long recording = NEVER;
    boolean done = false;
    try {
      operations.run();
      done = true;
    } finally {
      long recorded = recorded();
      if (recorded != 0 && done) {
        recording = recorded;
      } else if (recorded != 0) {
        forget(recorded);
      }
    }
    log.debug("a step {}", recording == NEVER ? "can't be replayed" : "was recorded");
    return recording;
  }

  /** The address of what was recorded; 0 where it can't be replayed. */
  private long recorded() {
    try {
      return (long) Symbols.RECORDED.invokeExact(context);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** False where nothing was done: the numbers in memory want other operations, or are wrong. */
  private boolean replay(long recording) {
    try {
      int status = (int) Symbols.REPLAY.invokeExact(context, recording);
      if (status == CHANGED) {
        return false;
      }
      CpuBackend.check("replay", status);
      replays++;
      return true;
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  private void remember(Object key, long recording) {
    recordings.put(key, recording);
    if (recordings.size() > MOST) {
      Iterator<Long> oldest = recordings.values().iterator();
      long dropped = oldest.next();
      oldest.remove();
      forget(dropped);
    }
  }

  private void forget(long recording) {
    if (recording == ONCE || recording == NEVER) {
      return;
    }
    try {
      Symbols.FORGET.invokeExact(context, recording);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  /** Steps that were replayed so far. */
  long replays() {
    return replays;
  }

  /** Before the native context closes. */
  @Override
  public void close() {
    recordings.values().forEach(this::forget);
    recordings.clear();
  }
}
