package dev.lathe.backend.cpu;

import static dev.lathe.backend.cpu.CpuLibrary.unexpected;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.KvLayer;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemoryLayout;
import java.lang.invoke.MethodHandle;
import java.lang.ref.Reference;

/**
 * The operations of {@code variants.cpp}: what decoders other than Llama need. Each returns a
 * {@code lathe_status}; tensors are kept from collection until the call is over.
 */
final class CpuVariants {
  private static final MethodHandle ADD_EMBEDDING =
      bind("add_embedding", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle SCALE =
      bind("scale", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_FLOAT);
  private static final MethodHandle SOFT_CAP =
      bind("soft_cap", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_FLOAT);
  private static final MethodHandle ACTIVATE =
      bind(
          "activate",
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_INT);
  private static final MethodHandle ADD_RMS_NORM =
      bind(
          "add_rms_norm",
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_FLOAT);
  private static final MethodHandle LAYER_NORM =
      bind(
          "layer_norm",
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_FLOAT);
  private static final MethodHandle NORM_HEADS =
      bind(
          "norm_heads",
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_LONG,
          JAVA_INT,
          JAVA_INT,
          JAVA_INT,
          JAVA_FLOAT);
  private static final MethodHandle APPEND =
      bind(
          "append", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT,
          JAVA_LONG, JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT, JAVA_LONG);

  private CpuVariants() {}

  private static MethodHandle bind(String name, MemoryLayout... types) {
    return CpuLibrary.Symbols.bind(name, JAVA_INT, types);
  }

  static int addEmbedding(long context, Tensor out, long table, Tensor rows) {
    try {
      return (int)
          ADD_EMBEDDING.invokeExact(
              context, out.address(), out.rowStride(), table, rows.address(), rows.size(0));
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(out, rows);
    }
  }

  static int scale(long context, Tensor x, float factor) {
    try {
      return (int)
          SCALE.invokeExact(context, x.address(), x.rowStride(), x.size(0), x.size(1), factor);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(x);
    }
  }

  static int softCap(long context, Tensor x, float cap) {
    try {
      return (int)
          SOFT_CAP.invokeExact(context, x.address(), x.rowStride(), x.size(0), x.size(1), cap);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(x);
    }
  }

  static int activate(long context, Tensor out, Tensor x, int function) {
    try {
      return (int)
          ACTIVATE.invokeExact(
              context,
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              x.size(0),
              x.size(1),
              function);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(out, x);
    }
  }

  static int addRmsNorm(long context, Tensor out, Tensor x, Tensor weight, float epsilon) {
    try {
      return (int)
          ADD_RMS_NORM.invokeExact(
              context,
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              weight.address(),
              x.size(0),
              x.size(1),
              epsilon);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(out, x, weight);
    }
  }

  static int layerNorm(
      long context, Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    try {
      return (int)
          LAYER_NORM.invokeExact(
              context,
              out.address(),
              out.rowStride(),
              x.address(),
              x.rowStride(),
              weight.address(),
              bias.address(),
              x.size(0),
              x.size(1),
              epsilon);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(out, x, weight, bias);
    }
  }

  static int normHeads(
      long context, Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    try {
      return (int)
          NORM_HEADS.invokeExact(
              context,
              qkv.address(),
              qkv.rowStride(),
              qkv.size(0),
              query.address(),
              key.address(),
              shape.heads(),
              shape.kvHeads(),
              shape.headDim(),
              epsilon);
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(qkv, query, key);
    }
  }

  static int append(long context, Tensor qkv, AttentionShape shape, KvLayer cache, Tensor slots) {
    try {
      return (int)
          APPEND.invokeExact(
              context,
              qkv.address(),
              qkv.rowStride(),
              qkv.size(0),
              shape.heads(),
              shape.kvHeads(),
              shape.headDim(),
              cache.keys().address(),
              cache.values().address(),
              CpuBackend.kvType(cache),
              cache.pages(),
              cache.pageSize(),
              slots.address());
    } catch (Throwable e) {
      throw unexpected(e);
    } finally {
      keep(qkv, cache, slots);
    }
  }

  /** Called in the callers' finally blocks; the array keeps what is in it. */
  @SuppressWarnings("ReachabilityFenceUsage")
  private static void keep(Object... objects) {
    Reference.reachabilityFence(objects);
  }
}
