/* The products: what is asked for is checked, and put into the handle's stream. */
#include <cstdio>
#include <initializer_list>
#include <vector>

#include "../driver/host_work.h"
#include "multiply.h"

using namespace lathe::emulator;

namespace {

/** Refuses what the stand-in lacks, or what cuBLAS would refuse; says which. */
int refuse(int status, const char* function, const char* why) {
  fprintf(stderr, "lathe emulator: %s: %s\n", function, why);
  return status;
}

bool is_operation(int op) { return op >= 0 && op <= 2; }  // N, T, C; of real numbers, C is T

Scalar scalar(const Handle& handle, const void* value, bool integer) {
  if (handle.scalars_on_device) return {0, reinterpret_cast<uintptr_t>(value), integer};
  Scalar read{0, reinterpret_cast<uintptr_t>(value), integer};
  return {scalar_value(read), 0, integer};
}

void add(std::vector<LatheOperand>& operands, const char* name, const Scalar& scalar) {
  if (scalar.address != 0) operands.push_back({name, scalar.address, 1, 4, 4, 1, 0});
}

void add(std::vector<LatheOperand>& operands, const char* name, const Matrix& matrix, int64_t rows, int64_t columns,
         int64_t batches, bool reads, bool writes) {
  size_t bytes = element_bytes(matrix.type);
  if (rows == 0 || columns == 0) return;
  for (int64_t batch = 0; batch < (matrix.apart == 0 ? 1 : batches); batch++)
    operands.push_back({name, matrix.address + static_cast<size_t>(batch * matrix.apart) * bytes,
                        static_cast<size_t>(columns), static_cast<size_t>(rows) * bytes,
                        static_cast<size_t>(matrix.leading) * bytes, reads, writes});
}

template <class Work>
int enqueue(const Handle& handle, const char* function, const Work& work, const std::vector<LatheOperand>& operands) {
  auto run = [](const void* argument) { multiply(*static_cast<const Work*>(argument)); };
  int result = lathe_emulator_enqueue(handle.stream, function, run, &work, sizeof work, operands.data(),
                                      operands.size());
  return result == 0 ? kSuccess : kExecutionFailed;
}

/** Which inputs, outputs and sums go together: a part of the table at cublasGemmEx in cuBLAS's documentation. */
const char* why_unsupported(const Product& p, int compute) {
  if (p.a.type != p.b.type) return "A and B of two types";
  int in = p.a.type, out = p.c.type;
  switch (compute) {
    case kCompute32I:
    case kCompute32IPedantic:
      if (in != kI8 || out != kI32) return "sums of int32 are of INT8 matrices, into INT32";
      for (const Matrix* m : {&p.a, &p.b})
        if (m->address % 4 != 0 || m->leading % 4 != 0)
          return "INT8 matrices have to lie at multiples of 4 bytes, and so do their columns";
      return nullptr;
    case kCompute32F:
    case kCompute32FPedantic:
      if ((in == kF16 || in == kBf16) && (out == in || out == kF32)) return nullptr;
      if ((in == kF32 || in == kI8) && out == kF32) return nullptr;
      return "sums of float are of F32, F16 or BF16 into the same type or F32, or of INT8 into F32";
    case kCompute32FFastTf32:
      return in == kF32 && out == kF32 ? nullptr : "TF32 is for matrices of F32";
    default:
      return "a compute type that is none of 32F, 32F_PEDANTIC, 32F_FAST_TF32, 32I, 32I_PEDANTIC";
  }
}

int product(const char* function, void* address, int op_a, int op_b, Product p, const void* alpha, const void* beta,
            int compute) {
  Handle handle;
  if (!handle_state(address, &handle)) return kNotInitialized;
  if (!is_operation(op_a) || !is_operation(op_b)) return refuse(kInvalidValue, function, "an unknown operation");
  if (p.m < 0 || p.n < 0 || p.k < 0 || p.batches < 0) return refuse(kInvalidValue, function, "a negative size");
  p.transpose_a = op_a != 0;
  p.transpose_b = op_b != 0;
  int64_t rows_a = p.transpose_a ? p.k : p.m, columns_a = p.transpose_a ? p.m : p.k;
  int64_t rows_b = p.transpose_b ? p.n : p.k, columns_b = p.transpose_b ? p.k : p.n;
  auto too_short = [](const Matrix& matrix, int64_t rows) { return matrix.leading < (rows > 1 ? rows : 1); };
  if (too_short(p.a, rows_a) || too_short(p.b, rows_b) || too_short(p.c, p.m))
    return refuse(kInvalidValue, function, "a leading dimension that is less than the rows of its matrix");
  if (p.m == 0 || p.n == 0 || p.batches == 0) return kSuccess;
  if (alpha == nullptr || beta == nullptr) return refuse(kInvalidValue, function, "no alpha, or no beta");
  if (const char* why = why_unsupported(p, compute); why != nullptr) return refuse(kNotSupported, function, why);

  p.integer = compute == kCompute32I || compute == kCompute32IPedantic;
  bool allowed_tf32 = compute == kCompute32F && (handle.math_mode & ~kMathModeFlag) == kTf32TensorOpMath;
  p.tf32 = p.a.type == kF32 && (compute == kCompute32FFastTf32 || allowed_tf32);
  p.alpha = scalar(handle, alpha, p.integer);
  p.beta = scalar(handle, beta, p.integer);
  std::vector<LatheOperand> operands;
  add(operands, "alpha", p.alpha);
  add(operands, "beta", p.beta);
  add(operands, "A", p.a, rows_a, columns_a, p.batches, true, false);
  add(operands, "B", p.b, rows_b, columns_b, p.batches, true, false);
  // Whether a beta in device memory is 0, so that C need not have been written, isn't known yet.
  bool reads_c = p.beta.address == 0 && p.beta.value != 0;
  add(operands, "C", p.c, p.m, p.n, p.batches, reads_c, true);
  return enqueue(handle, function, p, operands);
}

uintptr_t at(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer); }

template <class Int>
int sgemm(const char* function, void* handle, int op_a, int op_b, Int m, Int n, Int k, const float* alpha,
          const float* a, Int lda, const float* b, Int ldb, const float* beta, float* c, Int ldc) {
  Product p{};
  p.m = m, p.n = n, p.k = k, p.batches = 1;
  p.a = {at(a), kF32, lda, 0};
  p.b = {at(b), kF32, ldb, 0};
  p.c = {at(c), kF32, ldc, 0};
  return product(function, handle, op_a, op_b, p, alpha, beta, kCompute32F);
}

template <class Int>
int gemm_ex(const char* function, void* handle, int op_a, int op_b, Int m, Int n, Int k, const void* alpha,
            const void* a, int type_a, Int lda, int64_t apart_a, const void* b, int type_b, Int ldb, int64_t apart_b,
            const void* beta, void* c, int type_c, Int ldc, int64_t apart_c, Int batches, int compute) {
  Product p{};
  p.m = m, p.n = n, p.k = k, p.batches = batches;
  p.a = {at(a), type_a, lda, apart_a};
  p.b = {at(b), type_b, ldb, apart_b};
  p.c = {at(c), type_c, ldc, apart_c};
  return product(function, handle, op_a, op_b, p, alpha, beta, compute);
}

template <class Int>
int sgemv(const char* function, void* address, int op, Int m, Int n, const float* alpha, const float* a, Int lda,
          const float* x, Int step_x, const float* beta, float* y, Int step_y) {
  Handle handle;
  if (!handle_state(address, &handle)) return kNotInitialized;
  if (!is_operation(op) || m < 0 || n < 0 || lda < (m > 1 ? m : 1) || step_x == 0 || step_y == 0)
    return refuse(kInvalidValue, function, "an unknown operation, or a size or step that can't be");
  if (m == 0 || n == 0) return kSuccess;
  if (alpha == nullptr || beta == nullptr) return refuse(kInvalidValue, function, "no alpha, or no beta");
  VectorProduct p{m, n, op != 0, at(a), at(x), at(y), lda, step_x, step_y, {}, {}};
  p.alpha = scalar(handle, alpha, false);
  p.beta = scalar(handle, beta, false);
  int64_t inputs = p.transpose ? m : n, outputs = p.transpose ? n : m;
  auto bytes = [](int64_t step) { return static_cast<size_t>(step < 0 ? -step : step) * sizeof(float); };
  std::vector<LatheOperand> operands;
  add(operands, "alpha", p.alpha);
  add(operands, "beta", p.beta);
  add(operands, "A", {p.a, kF32, lda, 0}, m, n, 1, true, false);
  operands.push_back({"x", p.x, static_cast<size_t>(inputs), sizeof(float), bytes(step_x), 1, 0});
  bool reads_y = p.beta.address == 0 && p.beta.value != 0;
  operands.push_back({"y", p.y, static_cast<size_t>(outputs), sizeof(float), bytes(step_y), reads_y, 1});
  // With a negative step a vector begins at its end.
  if (step_x < 0) p.x += bytes(step_x) * static_cast<size_t>(inputs - 1);
  if (step_y < 0) p.y += bytes(step_y) * static_cast<size_t>(outputs - 1);
  return enqueue(handle, function, p, operands);
}

}  // namespace

#define LATHE_BOTH_WIDTHS(DEFINE, NAME) \
  DEFINE(NAME, int)                     \
  DEFINE(NAME##_64, int64_t)

#define LATHE_SGEMM(NAME, INT)                                                                                      \
  LATHE_CUBLAS int NAME(void* handle, int op_a, int op_b, INT m, INT n, INT k, const float* alpha, const float* a, \
                        INT lda, const float* b, INT ldb, const float* beta, float* c, INT ldc) {                  \
    return sgemm(#NAME, handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);                         \
  }
LATHE_BOTH_WIDTHS(LATHE_SGEMM, cublasSgemm_v2)

#define LATHE_GEMM_EX(NAME, INT)                                                                                    \
  LATHE_CUBLAS int NAME(void* handle, int op_a, int op_b, INT m, INT n, INT k, const void* alpha, const void* a,   \
                        int type_a, INT lda, const void* b, int type_b, INT ldb, const void* beta, void* c,        \
                        int type_c, INT ldc, int compute, int) {                                                   \
    return gemm_ex<INT>(#NAME, handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, 0, b, type_b, ldb, 0, beta, c,  \
                        type_c, ldc, 0, 1, compute);                                                               \
  }
LATHE_BOTH_WIDTHS(LATHE_GEMM_EX, cublasGemmEx)

#define LATHE_GEMM_BATCHES(NAME, INT)                                                                               \
  LATHE_CUBLAS int NAME(void* handle, int op_a, int op_b, INT m, INT n, INT k, const void* alpha, const void* a,   \
                        int type_a, INT lda, long long apart_a, const void* b, int type_b, INT ldb,                \
                        long long apart_b, const void* beta, void* c, int type_c, INT ldc, long long apart_c,      \
                        INT batches, int compute, int) {                                                           \
    return gemm_ex<INT>(#NAME, handle, op_a, op_b, m, n, k, alpha, a, type_a, lda, apart_a, b, type_b, ldb,        \
                        apart_b, beta, c, type_c, ldc, apart_c, batches, compute);                                 \
  }
LATHE_BOTH_WIDTHS(LATHE_GEMM_BATCHES, cublasGemmStridedBatchedEx)

#define LATHE_SGEMV(NAME, INT)                                                                                      \
  LATHE_CUBLAS int NAME(void* handle, int op, INT m, INT n, const float* alpha, const float* a, INT lda,           \
                        const float* x, INT step_x, const float* beta, float* y, INT step_y) {                     \
    return sgemv(#NAME, handle, op, m, n, alpha, a, lda, x, step_x, beta, y, step_y);                              \
  }
LATHE_BOTH_WIDTHS(LATHE_SGEMV, cublasSgemv_v2)
