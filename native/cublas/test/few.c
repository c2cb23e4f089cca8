/* A cuBLAS 13 that has next to nothing, for the tests: what it lacks has to be named and to do no harm. */
__attribute__((visibility("default"))) int cublasCreate_v2(void** handle) {
  static int one;
  *handle = &one;
  return 0;
}

__attribute__((visibility("default"))) int cublasGetProperty(int property, int* value) {
  *value = property == 0 ? 13 : property;
  return 0;
}

/* Fourteen arguments: six in registers, the others on the stack, and the forwarder must not touch any. */
__attribute__((visibility("default"))) int cublasSgemm_v2(void* handle, int op_a, int op_b, int m, int n, int k,
                                                          const float* alpha, const float* a, int lda, const float* b,
                                                          int ldb, const float* beta, float* c, int ldc) {
  int right = op_a == 1 && op_b == 2 && m == 3 && n == 4 && k == 5 && *alpha == 6 && a == (const float*)7 && lda == 8 &&
              b == (const float*)9 && ldb == 10 && *beta == 11 && c == (float*)12 && ldc == 13 && handle != 0;
  return right ? 0 : 14;
}
