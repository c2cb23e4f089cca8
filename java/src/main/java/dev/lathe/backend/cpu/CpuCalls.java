package dev.lathe.backend.cpu;

import static dev.lathe.backend.cpu.CpuLibrary.unexpected;

import dev.lathe.backend.cpu.CpuLibrary.Symbols;

/**
 * The operations of {@code lathe_cpu.h} as Java methods. {@code brief} says that the call is over
 * in some microseconds: it then skips the thread's change of state, and a garbage collection that
 * wants to start waits for it; otherwise the change costs some 10 ns and collections go on beside
 * it. Each returns a {@code lathe_status}.
 */
final class CpuCalls {
  private CpuCalls() {}

  static int embed(
      boolean brief, long context, long out, long outStride, long table, long tokens, long count) {
    try {
      return brief
          ? (int) Symbols.EMBED_BRIEF.invokeExact(context, out, outStride, table, tokens, count)
          : (int) Symbols.EMBED.invokeExact(context, out, outStride, table, tokens, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int rmsNorm(
      boolean brief,
      long context,
      long out,
      long outStride,
      long x,
      long xStride,
      long weight,
      long rows,
      long cols,
      float epsilon) {
    try {
      return brief
          ? (int)
              Symbols.RMS_NORM_BRIEF.invokeExact(
                  context, out, outStride, x, xStride, weight, rows, cols, epsilon)
          : (int)
              Symbols.RMS_NORM.invokeExact(
                  context, out, outStride, x, xStride, weight, rows, cols, epsilon);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int linear(
      boolean brief,
      long context,
      long out,
      long outStride,
      long x,
      long xStride,
      long tokens,
      long weight,
      long bias,
      int add) {
    try {
      return brief
          ? (int)
              Symbols.LINEAR_BRIEF.invokeExact(
                  context, out, outStride, x, xStride, tokens, weight, bias, add)
          : (int)
              Symbols.LINEAR.invokeExact(
                  context, out, outStride, x, xStride, tokens, weight, bias, add);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int rotateAndAppend(
      boolean brief,
      long context,
      long qkv,
      long stride,
      long tokens,
      long rotations,
      long rotationRows,
      long rotationStride,
      int heads,
      int kvHeads,
      int headDim,
      long keys,
      long values,
      int kvType,
      long pages,
      int pageSize,
      long positions,
      long slots) {
    try {
      return brief
          ? (int)
              Symbols.ROTATE_BRIEF.invokeExact(
                  context,
                  qkv,
                  stride,
                  tokens,
                  rotations,
                  rotationRows,
                  rotationStride,
                  heads,
                  kvHeads,
                  headDim,
                  keys,
                  values,
                  kvType,
                  pages,
                  pageSize,
                  positions,
                  slots)
          : (int)
              Symbols.ROTATE.invokeExact(
                  context,
                  qkv,
                  stride,
                  tokens,
                  rotations,
                  rotationRows,
                  rotationStride,
                  heads,
                  kvHeads,
                  headDim,
                  keys,
                  values,
                  kvType,
                  pages,
                  pageSize,
                  positions,
                  slots);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int attention(
      boolean brief,
      long context,
      long out,
      long outStride,
      long qkv,
      long stride,
      long tokens,
      int heads,
      int kvHeads,
      int headDim,
      float scale,
      int window,
      float softCap,
      long keys,
      long values,
      int kvType,
      long pages,
      int pageSize,
      long sequences,
      long queryStarts,
      long contextLengths,
      long blockStarts,
      long blocks,
      long blockCount) {
    try {
      return brief
          ? (int)
              Symbols.ATTENTION_BRIEF.invokeExact(
                  context,
                  out,
                  outStride,
                  qkv,
                  stride,
                  tokens,
                  heads,
                  kvHeads,
                  headDim,
                  scale,
                  window,
                  softCap,
                  keys,
                  values,
                  kvType,
                  pages,
                  pageSize,
                  sequences,
                  queryStarts,
                  contextLengths,
                  blockStarts,
                  blocks,
                  blockCount)
          : (int)
              Symbols.ATTENTION.invokeExact(
                  context,
                  out,
                  outStride,
                  qkv,
                  stride,
                  tokens,
                  heads,
                  kvHeads,
                  headDim,
                  scale,
                  window,
                  softCap,
                  keys,
                  values,
                  kvType,
                  pages,
                  pageSize,
                  sequences,
                  queryStarts,
                  contextLengths,
                  blockStarts,
                  blocks,
                  blockCount);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int gate(
      boolean brief,
      long context,
      long out,
      long outStride,
      long gateUp,
      long stride,
      long rows,
      long cols,
      int activation) {
    try {
      return brief
          ? (int)
              Symbols.GATE_BRIEF.invokeExact(
                  context, out, outStride, gateUp, stride, rows, cols, activation)
          : (int)
              Symbols.GATE.invokeExact(
                  context, out, outStride, gateUp, stride, rows, cols, activation);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int gatherRows(
      boolean brief,
      long context,
      long out,
      long outStride,
      long x,
      long xStride,
      long xRows,
      long cols,
      long rows,
      long count) {
    try {
      return brief
          ? (int)
              Symbols.GATHER_BRIEF.invokeExact(
                  context, out, outStride, x, xStride, xRows, cols, rows, count)
          : (int)
              Symbols.GATHER.invokeExact(
                  context, out, outStride, x, xStride, xRows, cols, rows, count);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }

  static int argmax(
      boolean brief, long context, long out, long x, long xStride, long rows, long cols) {
    try {
      return brief
          ? (int) Symbols.ARGMAX_BRIEF.invokeExact(context, out, x, xStride, rows, cols)
          : (int) Symbols.ARGMAX.invokeExact(context, out, x, xStride, rows, cols);
    } catch (Throwable e) {
      throw unexpected(e);
    }
  }
}
