package dev.lathe.backend.cuda;

import dev.lathe.backend.Checks;
import dev.lathe.backend.DrawParameters;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Tokens from logits, and the memory that this takes: what the rows ask for goes to the device in
 * one copy. Memory grows by doubling, because graphs are forgotten when a workspace grows.
 */
final class CudaSampling {
  private static final long LEAST_BYTES = 1 << 16;

  private final CudaTransfers transfers;
  private final SamplingKernels sampling;
  private final CudaWorkspace workspace;
  private final CudaWorkspace inputs;

  CudaSampling(
      CudaKernels kernels, CudaTransfers transfers, CudaWorkspace workspace, CudaWorkspace inputs) {
    this.transfers = transfers;
    sampling = new SamplingKernels(kernels);
    this.workspace = workspace;
    this.inputs = inputs;
  }

  /** {@link dev.lathe.backend.Backend#argmax}. */
  void argmax(Tensor out, Tensor x) {
    Checks.argmax(out, x);
    long bytes = SamplingKernels.argmaxWorkspaceBytes(x.size(0), x.size(1));
    sampling.argmax(out, x, workspace.tensor(DType.U8, roundUp(bytes)));
  }

  /** {@link dev.lathe.backend.Backend#sample}. */
  void sample(Tensor out, Tensor logits, List<DrawParameters> draws, List<int[]> contexts) {
    Checks.sample(out, logits, draws, contexts, SamplingKernels.MAX_VOCABULARY);
    int rows = draws.size();
    if (rows == 0) {
      return;
    }
    int[] starts = new int[rows + 1];
    for (int r = 0; r < rows; r++) {
      int length = draws.get(r).repetitionPenalty() == 1 ? 0 : contexts.get(r).length;
      starts[r + 1] = Math.addExact(starts[r], length);
    }
    long startsAt = (long) rows * SamplingKernels.PARAMETER_LONGS * Long.BYTES;
    long contextAt = startsAt + (long) Integer.BYTES * starts.length;
    long bytes = contextAt + (long) Integer.BYTES * starts[rows];

    // Of longs, so that every value in it is aligned.
    MemorySegment host =
        MemorySegment.ofArray(new long[Math.toIntExact(Math.ceilDiv(bytes, Long.BYTES))]);
    for (int r = 0; r < rows; r++) {
      SamplingKernels.write(draws.get(r), host, r);
      MemorySegment.copy(
          contexts.get(r),
          0,
          host,
          ValueLayout.JAVA_INT,
          contextAt + (long) Integer.BYTES * starts[r],
          starts[r + 1] - starts[r]);
    }
    MemorySegment.copy(starts, 0, host, ValueLayout.JAVA_INT, startsAt, starts.length);

    long device = inputs.tensor(DType.U8, roundUp(bytes)).address();
    long needed = SamplingKernels.sampleWorkspaceBytes(rows, logits.size(1));
    Tensor scratch = workspace.tensor(DType.U8, roundUp(needed));
    transfers.upload(host.asSlice(0, bytes), device);
    sampling.sample(
        out,
        logits,
        at(device, DType.I64, rows, SamplingKernels.PARAMETER_LONGS),
        SamplingKernels.Needs.of(draws),
        at(device + contextAt, DType.I32, starts[rows]),
        at(device + startsAt, DType.I32, starts.length),
        scratch);
  }

  private static Tensor at(long address, DType dtype, long... shape) {
    long bytes = Tensor.elements(shape) * dtype.bytes();
    return Tensor.onDevice(MemorySegment.ofAddress(address).reinterpret(bytes), dtype, shape);
  }

  private static long roundUp(long bytes) {
    return bytes <= LEAST_BYTES ? LEAST_BYTES : Long.highestOneBit(bytes - 1) << 1;
  }
}
