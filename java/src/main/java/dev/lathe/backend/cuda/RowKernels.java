package dev.lathe.backend.cuda;

import dev.lathe.backend.Activation;
import dev.lathe.backend.AttentionShape;
import dev.lathe.backend.Checks;
import dev.lathe.tensor.Tensor;
import dev.lathe.tensor.Weight;

/**
 * What works row by row: embedding.cu, rms_norm.cu, layer_norm.cu, norm_heads.cu, activation.cu and
 * gather_rows.cu. Each method is the operation of {@link dev.lathe.backend.Backend} of its name.
 * Geometry depends on shapes only, so that a captured step can be replayed.
 */
final class RowKernels {
  private final CudaKernels kernels;
  private final DeviceLimits limits;

  RowKernels(CudaKernels kernels, DeviceLimits limits) {
    this.kernels = kernels;
    this.limits = limits;
  }

  /**
   * {@link dev.lathe.backend.Backend#embed}. A token that the table doesn't have leaves its row of
   * {@code out} as it is.
   */
  void embed(Tensor out, Weight table, Tensor tokens) {
    Checks.embed(out, table, tokens);
    EmbeddingLaunch.run(kernels, out, table, tokens, 0, false);
  }

  /** {@link dev.lathe.backend.Backend#addEmbedding}. */
  void addEmbedding(Tensor out, Weight table, Tensor rows) {
    Checks.addEmbedding(out, table, rows);
    EmbeddingLaunch.run(kernels, out, table, rows, 0, true);
  }

  /** {@link dev.lathe.backend.Backend#scale}. */
  void scale(Tensor x, float factor) {
    Checks.scale(x);
    if (x.elements() > 0) {
      launchEach(
          kernels.get("activation", "scale").pointer(x).f32(factor).i64(x.elements()),
          x.elements());
    }
  }

  /** {@link dev.lathe.backend.Backend#softCap}. */
  void softCap(Tensor x, float cap) {
    Checks.softCap(x, cap);
    if (x.elements() > 0) {
      launchEach(
          kernels.get("activation", "soft_cap").pointer(x).f32(cap).i64(x.elements()),
          x.elements());
    }
  }

  /** {@link dev.lathe.backend.Backend#activate}. */
  void activate(Tensor out, Tensor x, Activation activation) {
    Checks.activate(out, x);
    if (x.elements() > 0) {
      launchEach(
          kernels
              .get("activation", "activate")
              .pointer(out)
              .pointer(x)
              .i64(x.elements())
              .i32(number(activation)),
          x.elements());
    }
  }

  private void launchEach(CudaKernel kernel, long elements) {
    RowGeometry geometry = RowGeometry.ofEach(limits, elements);
    kernel.launch(geometry.blocks(), 1, 1, geometry.threads(), 0);
  }

  /** {@link dev.lathe.backend.Backend#gate}. */
  void gate(Tensor out, Tensor gateUp, Activation activation) {
    Checks.gate(out, gateUp);
    if (out.elements() > 0) {
      int n = Math.toIntExact(out.size(1));
      RowGeometry.launchRows(
          kernels
              .get("activation", "gate")
              .pointer(out)
              .pointer(gateUp)
              .i64(out.size(0))
              .i32(n)
              .i64(out.rowStride())
              .i64(gateUp.rowStride())
              .i32(number(activation)),
          out.size(0),
          n);
    }
  }

  /** As activation.cu numbers them. */
  static int number(Activation activation) {
    return switch (activation) {
      case SILU -> 0;
      case GELU_TANH -> 1;
      case GELU -> 2;
    };
  }

  /** {@link dev.lathe.backend.Backend#rmsNorm}. */
  void rmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.rmsNorm(out, x, weight);
    rmsNorm("rms_norm", out, x, weight, epsilon);
  }

  /** {@link dev.lathe.backend.Backend#addRmsNorm}. */
  void addRmsNorm(Tensor out, Tensor x, Tensor weight, float epsilon) {
    Checks.addRmsNorm(out, x, weight);
    rmsNorm("add_rms_norm", out, x, weight, epsilon);
  }

  private void rmsNorm(String name, Tensor out, Tensor x, Tensor weight, float epsilon) {
    if (x.elements() > 0) {
      RowGeometry launch = RowGeometry.ofNorm(limits, x.size(0), x.size(1));
      kernels
          .get("rms_norm", name + launch.suffix() + "_f32")
          .pointer(out)
          .pointer(x)
          .pointer(weight)
          .i64(x.size(0))
          .i32(Math.toIntExact(x.size(1)))
          .f32(epsilon)
          .launch(launch.blocks(), 1, 1, launch.threads(), 0);
    }
  }

  /** {@link dev.lathe.backend.Backend#layerNorm}. */
  void layerNorm(Tensor out, Tensor x, Tensor weight, Tensor bias, float epsilon) {
    Checks.layerNorm(out, x, weight, bias);
    if (x.elements() > 0) {
      RowGeometry launch = RowGeometry.ofNorm(limits, x.size(0), x.size(1));
      kernels
          .get("layer_norm", "layer_norm" + launch.suffix() + "_f32")
          .pointer(out)
          .pointer(x)
          .pointer(weight)
          .pointer(bias)
          .i64(x.size(0))
          .i32(Math.toIntExact(x.size(1)))
          .f32(epsilon)
          .launch(launch.blocks(), 1, 1, launch.threads(), 0);
    }
  }

  /** {@link dev.lathe.backend.Backend#normHeads}. */
  void normHeads(Tensor qkv, Tensor query, Tensor key, AttentionShape shape, float epsilon) {
    Checks.normHeads(qkv, query, key, shape);
    if (qkv.elements() > 0) {
      int heads = shape.heads() + shape.kvHeads();
      int warps = Math.min(heads, RowGeometry.THREADS / RowGeometry.WARP);
      kernels
          .get("norm_heads", "norm_heads_f32")
          .pointer(qkv)
          .pointer(query)
          .pointer(key)
          .i32(shape.heads())
          .i32(shape.kvHeads())
          .i32(shape.headDim())
          .f32(epsilon)
          .launch(qkv.size(0), Math.ceilDiv(heads, warps), 1, warps * RowGeometry.WARP, 0);
    }
  }

  /** {@link dev.lathe.backend.Backend#gatherRows}. */
  void gatherRows(Tensor out, Tensor x, Tensor rows) {
    Checks.gatherRows(out, x, rows);
    if (out.elements() > 0) {
      int cols = Math.toIntExact(x.size(1));
      RowGeometry.launchRows(
          kernels
              .get("gather_rows", "gather_rows_f32")
              .pointer(out)
              .pointer(x)
              .pointer(rows)
              .i32(cols),
          out.size(0),
          cols);
    }
  }
}
