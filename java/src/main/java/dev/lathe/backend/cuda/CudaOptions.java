package dev.lathe.backend.cuda;

/**
 * What the CUDA backend does only to be faster, and can be told not to do: to find out what it
 * brings, or which kernel an error comes from.
 *
 * @param graphs what is repeated becomes a CUDA graph; not with {@code LATHE_CUDA_GRAPHS=0}
 * @param fusion operations that follow each other become one kernel; not with {@code
 *     LATHE_CUDA_FUSION=0}
 * @param timing where own kernels and cuBLAS compute in the same precision, both are timed and the
 *     faster one runs; with {@code LATHE_CUDA_TIMING=0} a rule decides
 */
record CudaOptions(boolean graphs, boolean fusion, boolean timing) {
  static final CudaOptions ALL = new CudaOptions(true, true, true);

  static CudaOptions fromEnvironment() {
    return new CudaOptions(
        isOn("LATHE_CUDA_GRAPHS"), isOn("LATHE_CUDA_FUSION"), isOn("LATHE_CUDA_TIMING"));
  }

  private static boolean isOn(String variable) {
    return !"0".equals(System.getenv(variable));
  }

  CudaOptions withoutGraphs() {
    return new CudaOptions(false, fusion, timing);
  }

  CudaOptions withoutFusion() {
    return new CudaOptions(graphs, false, timing);
  }
}
