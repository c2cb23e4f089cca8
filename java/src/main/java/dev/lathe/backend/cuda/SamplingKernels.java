package dev.lathe.backend.cuda;

import dev.lathe.backend.Checks;
import dev.lathe.backend.DrawParameters;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Choosing tokens on the device, so that only tokens come back to the host: argmax.cu and
 * sampling.cu.
 *
 * <p>{@link #sample} draws what the host's sampler draws: the same filters in the same order, and
 * the same random numbers for a seed. Without a temperature tokens are the same; with one they are
 * but where a random number comes within some 2^-40 of the border between two tokens, because sums
 * are of weights rounded to 2^-43 of the largest.
 */
final class SamplingKernels {
  /** Columns that a block goes through: {@code kChunk} of ranking.cuh. */
  private static final int CHUNK = 4096;

  private static final int THREADS = 256;

  /** Longest rows that can be drawn from. */
  static final int MAX_VOCABULARY = 1 << 20;

  /** I64 values that a row's parameters take: {@code Parameters} of sampling.cu. */
  static final int PARAMETER_LONGS = 8;

  private static final long HISTOGRAM_BYTES = 2048 * Long.BYTES;
  private static final long STATE_BYTES = 3 * Long.BYTES;
  private static final int PASSES = 5;
  private static final int TOP_K = 0;
  private static final int TOP_P = 1;
  private static final int TOKEN = 2;

  /**
   * What a batch of rows asks for: which launches are needed.
   *
   * @param penalty some row has a repetition penalty
   * @param random some row has a temperature
   */
  record Needs(boolean penalty, boolean random, boolean topK, boolean topP) {
    static Needs of(List<DrawParameters> rows) {
      return new Needs(
          rows.stream().anyMatch(row -> row.repetitionPenalty() != 1),
          rows.stream().anyMatch(row -> row.temperature() != 0),
          rows.stream().anyMatch(row -> row.temperature() != 0 && row.topK() > 0),
          rows.stream().anyMatch(row -> row.temperature() != 0 && row.topP() < 1));
    }
  }

  private final CudaKernels kernels;

  SamplingKernels(CudaKernels kernels) {
    this.kernels = kernels;
  }

  /** A row's parameters as the kernels read them. */
  static void write(DrawParameters draw, MemorySegment rows, int row) {
    long at = (long) row * PARAMETER_LONGS;
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at, draw.temperature());
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 1, draw.topP());
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 2, draw.minP());
    rows.setAtIndex(ValueLayout.JAVA_DOUBLE, at + 3, draw.repetitionPenalty());
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 4, draw.topK());
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 5, draw.seed());
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 6, draw.draw());
    rows.setAtIndex(ValueLayout.JAVA_LONG, at + 7, 0);
  }

  /** Bytes of device memory that {@link #argmax} needs. */
  static long argmaxWorkspaceBytes(long rows, long cols) {
    return rows * Math.ceilDiv(cols, CHUNK) * Long.BYTES;
  }

  /** Bytes of device memory that {@link #sample} needs. */
  static long sampleWorkspaceBytes(long rows, long cols) {
    return argmaxWorkspaceBytes(rows, cols)
        + rows * (Long.BYTES + 2 * STATE_BYTES + 3 * HISTOGRAM_BYTES)
        + seenBytes(rows, cols);
  }

  private static long seenBytes(long rows, long cols) {
    return Math.ceilDiv(rows * Math.ceilDiv(cols, 32) * Integer.BYTES, Long.BYTES) * Long.BYTES;
  }

  /**
   * {@link dev.lathe.backend.Backend#argmax}.
   *
   * @param workspace {@link #argmaxWorkspaceBytes}, aligned to 8 bytes
   */
  void argmax(Tensor out, Tensor x, Tensor workspace) {
    Checks.argmax(out, x);
    room("argmax", workspace, argmaxWorkspaceBytes(x.size(0), x.size(1)));
    if (x.size(0) > 0) {
      argmax(out, x, workspace.address(), 0);
    }
  }

  private void argmax(Tensor out, Tensor x, long partial, long largest) {
    int chunks = Math.toIntExact(Math.ceilDiv(x.size(1), CHUNK));
    int rows = Math.toIntExact(x.size(0));
    kernels
        .get("argmax", "argmax_chunks")
        .pointer(partial)
        .pointer(x)
        .i64(x.size(1))
        .launch(rows, chunks, 1, THREADS, 0);
    kernels
        .get("argmax", "argmax_rows")
        .pointer(out)
        .pointer(largest)
        .pointer(partial)
        .i32(chunks)
        .launch(rows, 1, 1, THREADS, 0);
  }

  /**
   * Draws a token from each row.
   *
   * @param out [rows] I32
   * @param logits [rows, vocabulary] F32, finite; a repetition penalty changes them
   * @param parameters [rows, 8] I64, as {@link #write} fills them
   * @param needs of the rows
   * @param context [n] I32, tokens of the sequences so far; read where there is a penalty
   * @param contextStarts [rows + 1] I32, where each row's start
   * @param workspace {@link #sampleWorkspaceBytes}, aligned to 8 bytes
   */
  void sample(
      Tensor out,
      Tensor logits,
      Tensor parameters,
      Needs needs,
      Tensor context,
      Tensor contextStarts,
      Tensor workspace) {
    Checks.argmax(out, logits);
    long rows = logits.size(0);
    long cols = logits.size(1);
    room("sample", workspace, sampleWorkspaceBytes(rows, cols));
    if (cols > MAX_VOCABULARY || parameters.elements() != rows * PARAMETER_LONGS) {
      throw new IllegalArgumentException(
          "sample: logits %s and parameters %s".formatted(logits, parameters));
    }
    if (rows == 0) {
      return;
    }
    long partial = workspace.address();
    long largest = partial + argmaxWorkspaceBytes(rows, cols);
    long states = largest + rows * Long.BYTES;
    long histograms = states + 2 * rows * STATE_BYTES;
    long seen = histograms + 3 * rows * HISTOGRAM_BYTES;
    if (needs.penalty) {
      clear(seen, seenBytes(rows, cols));
      kernels
          .get("sampling", "sampling_penalize")
          .pointer(logits)
          .pointer(seen)
          .pointer(context)
          .pointer(contextStarts)
          .pointer(parameters)
          .i64(cols)
          .launch(Math.max(1, Math.ceilDiv(context.elements(), CHUNK)), (int) rows, 1, THREADS, 0);
    }
    argmax(out, logits, partial, largest);
    if (!needs.random) {
      return;
    }
    clear(histograms, rows * HISTOGRAM_BYTES);
    int lastPass = -1;
    int launch = 0;
    for (int phase = TOP_K; phase <= TOKEN; phase++) {
      if ((phase == TOP_K && !needs.topK) || (phase == TOP_P && !needs.topP)) {
        continue;
      }
      for (int pass = phase * PASSES; pass < (phase + 1) * PASSES; pass++) {
        row(
                kernels.get("sampling", "sampling_pass").pointer(logits),
                parameters,
                largest,
                cols,
                histograms,
                states,
                rows)
            .i32(pass)
            .i32(lastPass)
            .i32(launch)
            .launch(Math.ceilDiv(cols, CHUNK), (int) rows, 1, THREADS, 0);
        lastPass = pass;
        launch++;
      }
    }
    row(
            kernels.get("sampling", "sampling_token").pointer(out),
            parameters,
            largest,
            cols,
            histograms,
            states,
            rows)
        .i32(lastPass)
        .i32(launch)
        .launch(1, (int) rows, 1, THREADS, 0);
  }

  private static CudaKernel row(
      CudaKernel kernel,
      Tensor parameters,
      long largest,
      long cols,
      long histograms,
      long states,
      long rows) {
    return kernel
        .pointer(parameters)
        .pointer(largest)
        .i64(cols)
        .pointer(histograms)
        .pointer(states)
        .i32((int) rows);
  }

  private void clear(long address, long bytes) {
    long words = bytes / Integer.BYTES;
    kernels
        .get("sampling", "sampling_clear")
        .pointer(address)
        .i64(words)
        .launch(Math.clamp(Math.ceilDiv(words, 4L * THREADS), 1, 1024), 1, 1, THREADS, 0);
  }

  private static void room(String operation, Tensor workspace, long bytes) {
    if (workspace.bytes() < bytes || workspace.address() % Long.BYTES != 0) {
      throw new IllegalArgumentException(
          "%s: a workspace of %s, %d bytes are needed".formatted(operation, workspace, bytes));
    }
  }
}
