package dev.lathe.backend.cuda;

import dev.lathe.error.LatheException;
import dev.lathe.tensor.DType;
import dev.lathe.tensor.Tensor;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import jcuda.Pointer;
import jcuda.cudaDataType;
import jcuda.driver.JCudaDriver;
import jcuda.jcublas.JCublas2;
import jcuda.jcublas.cublasComputeType;
import jcuda.jcublas.cublasGemmAlgo;
import jcuda.jcublas.cublasHandle;
import jcuda.jcublas.cublasOperation;
import jcuda.jcublas.cublasStatus;
import jcuda.runtime.cudaStream_t;
import tools.jackson.databind.JsonNode;

/** cuBLAS on the shapes of the linear layers: the vendor's column beside the project's kernels. */
final class CublasBench {
  /**
   * Random values that are copied until a matrix is full: making them all takes longer than timing.
   */
  private static final int PATTERN = 1 << 20;

  private record Types(String bench, DType in, int cudaIn, DType out, int cudaOut, int compute) {}

  private static final List<Types> TYPES =
      List.of(
          new Types(
              "linear_bf16",
              DType.BF16,
              cudaDataType.CUDA_R_16BF,
              DType.BF16,
              cudaDataType.CUDA_R_16BF,
              cublasComputeType.CUBLAS_COMPUTE_32F),
          new Types(
              "linear_w8a8",
              DType.I8,
              cudaDataType.CUDA_R_8I,
              DType.I32,
              cudaDataType.CUDA_R_32I,
              cublasComputeType.CUBLAS_COMPUTE_32I));

  private CublasBench() {}

  public static void main(String[] arguments) throws IOException {
    if (CublasLibrary.whyUnusable().isPresent()) {
      System.err.println("lathe: cuBLAS can't be used: " + CublasLibrary.whyUnusable().get());
      System.exit(1);
    }
    JCublas2.setExceptionsEnabled(false);
    BenchLines probe;
    try (CudaBench first = new CudaBench()) {
      probe = new BenchLines(first.context, arguments);
      System.out.println("{\"remark\": \"" + CublasLibrary.description() + "\"}");
    }
    for (JsonNode shape : probe.shapes("linear")) {
      for (Types types : TYPES) {
        // Memory of one shape is freed before the next takes its own.
        try (CudaBench bench = new CudaBench()) {
          time(bench, new BenchLines(bench.context, arguments), shape, types);
        }
      }
    }
  }

  private static void time(CudaBench bench, BenchLines lines, JsonNode shape, Types types) {
    int tokens = shape.get("tokens").intValue();
    int outputs = shape.get("outputs").intValue();
    int inputs = shape.get("inputs").intValue();
    long weightBytes = (long) outputs * inputs * types.in().bytes();
    int copies = lines.copies(weightBytes);
    List<Tensor> weights = new ArrayList<>();
    for (int i = 0; i < copies; i++) {
      weights.add(filled(bench, types.in(), outputs, inputs, i));
    }
    Tensor x = filled(bench, types.in(), tokens, inputs, -1);
    Tensor out = bench.device(types.out(), tokens, outputs);
    boolean integer = types.in() == DType.I8;
    Pointer one = integer ? Pointer.to(new int[] {1}) : Pointer.to(new float[] {1});
    Pointer zero = integer ? Pointer.to(new int[] {0}) : Pointer.to(new float[] {0});
    cublasHandle handle = new cublasHandle();
    check(JCublas2.cublasCreate(handle), "cublasCreate");
    check(
        JCublas2.cublasSetStream(handle, new cudaStream_t(bench.context.stream())),
        "cublasSetStream");
    String name = "%d x %d x %d".formatted(tokens, outputs, inputs);
    try {
      lines.time(
          types.bench(),
          name,
          "cublas",
          weightBytes
              + (long) tokens * (inputs * types.in().bytes() + outputs * types.out().bytes()),
          2L * tokens * outputs * inputs,
          copies,
          i ->
              check(
                  JCublas2.cublasGemmEx_new(
                      handle,
                      cublasOperation.CUBLAS_OP_T,
                      cublasOperation.CUBLAS_OP_N,
                      outputs,
                      tokens,
                      inputs,
                      one,
                      new DevicePointer(weights.get((int) i).address()),
                      types.cudaIn(),
                      inputs,
                      new DevicePointer(x.address()),
                      types.cudaIn(),
                      inputs,
                      zero,
                      new DevicePointer(out.address()),
                      types.cudaOut(),
                      outputs,
                      types.compute(),
                      cublasGemmAlgo.CUBLAS_GEMM_DEFAULT),
                  types.bench()));
    } catch (LatheException e) {
      lines.cannot(types.bench(), name, "cublas", String.valueOf(e.getMessage()));
    }
    check(JCublas2.cublasDestroy(handle), "cublasDestroy");
  }

  /** Random numbers near 1, or of all bytes. */
  private static Tensor filled(CudaBench bench, DType type, int rows, int columns, int seed) {
    Tensor tensor = bench.device(type, rows, columns);
    long bytes = tensor.bytes();
    Tensor pattern = bench.host(type, Math.min(PATTERN, tensor.elements()));
    SplittableRandom random = new SplittableRandom(seed);
    for (long i = 0; i < pattern.elements(); i++) {
      if (type == DType.I8) {
        pattern.memory().set(ValueLayout.JAVA_BYTE, i, (byte) random.nextInt(-127, 128));
      } else {
        int bits = Float.floatToRawIntBits((float) random.nextDouble(-1, 1));
        pattern.memory().setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (bits >>> 16));
      }
    }
    for (long at = 0; at < bytes; at += pattern.bytes()) {
      long part = Math.min(pattern.bytes(), bytes - at);
      bench.context.check(
          JCudaDriver.cuMemcpyHtoD(
              new DevicePointer(tensor.address() + at), new HostPointer(pattern.memory()), part),
          "cuMemcpyHtoD");
    }
    return tensor;
  }

  private static void check(int status, String call) {
    if (status != cublasStatus.CUBLAS_STATUS_SUCCESS) {
      throw new LatheException(
          LatheException.FAILED, call + " answered " + cublasStatus.stringFor(status));
    }
  }
}
