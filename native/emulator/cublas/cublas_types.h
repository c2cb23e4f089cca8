/* The part of cuBLAS's types that the stand-in knows; values as in cublas_api.h and library_types.h. */
#pragma once
#include <cstddef>
#include <cstdint>

#define LATHE_CUBLAS extern "C" __attribute__((visibility("default")))

namespace lathe::emulator {

enum Status : int {
  kSuccess = 0,
  kNotInitialized = 1,
  kInvalidValue = 7,
  kExecutionFailed = 13,
  kNotSupported = 15,
};

enum DataType : int { kF32 = 0, kF16 = 2, kI8 = 3, kI32 = 10, kBf16 = 14 };

enum ComputeType : int {
  kCompute32F = 68,
  kCompute32FPedantic = 69,
  kCompute32I = 72,
  kCompute32IPedantic = 73,
  kCompute32FFastTf32 = 77,
};

enum MathMode : int { kDefaultMath = 0, kTensorOpMath = 1, kPedanticMath = 2, kTf32TensorOpMath = 3 };
constexpr int kMathModeFlag = 16;  // disallow reduced precision in reductions: nothing here reduces in less than F32

/** Bytes of one element; 0 for a type that isn't one of these. */
inline size_t element_bytes(int type) {
  switch (type) {
    case kF32:
    case kI32:
      return 4;
    case kF16:
    case kBf16:
      return 2;
    case kI8:
      return 1;
    default:
      return 0;
  }
}

struct Handle {
  void* stream = nullptr;
  bool scalars_on_device = false;
  int math_mode = kDefaultMath;
  int atomics_mode = 0;
  int multiprocessors = 0;
};

/** The handle at this address as it is now; false where there is none. */
bool handle_state(const void* address, Handle* state);

/** alpha or beta: known when the call is made, or read when it is carried out. */
struct Scalar {
  double value;
  uintptr_t address;  // 0: `value` counts
  bool integer;
};

double scalar_value(const Scalar& scalar);

}  // namespace lathe::emulator
