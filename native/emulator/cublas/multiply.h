/* The arithmetic of the emulated GPU's cuBLAS, on memory that has been checked. */
#pragma once
#include "cublas_types.h"

namespace lathe::emulator {

/** A batch of column-major matrices. */
struct Matrix {
  uintptr_t address;
  int type;
  int64_t leading;  // elements from one column to the next
  int64_t apart;    // elements from one matrix of the batch to the next
};

/** C = alpha op(A) op(B) + beta C: op(A) [m, k], op(B) [k, n], C [m, n] */
struct Product {
  int64_t m, n, k, batches;
  bool transpose_a, transpose_b;
  Matrix a, b, c;
  Scalar alpha, beta;
  bool integer;  // sums of int32, which wrap; else of float, rounded after each addition
  bool tf32;     // operands of F32 rounded to 10 bits of fraction first
};

/** y = alpha op(A) x + beta y, with A [m, n] F32 */
struct VectorProduct {
  int64_t m, n;
  bool transpose;
  uintptr_t a, x, y;  // x and y: their first elements, wherever the increments point
  int64_t leading, step_x, step_y;
  Scalar alpha, beta;
};

void multiply(const Product& product);
void multiply(const VectorProduct& product);

}  // namespace lathe::emulator
