/* Activations of feed-forward layers, exact far below 0 too, where 1 + tanh and 1 + erf would cancel.
 *
 *   kSilu      x sigmoid(x)
 *   kGeluTanh  x/2 (1 + tanh(y)) = x sigmoid(2y), y = sqrt(2/pi) (x + 0.044715 x^3)
 *   kGelu      x/2 erfc(-x / sqrt(2))
 */
#pragma once
#include "lathe_cuda.cuh"

enum Activation { kSilu, kGeluTanh, kGelu };

/** 1 / (1 + exp(-x)), with exp of what is negative, which can't overflow. */
__device__ __forceinline__ float sigmoid(float x) {
  float e = expf(-fabsf(x));
  return (x < 0 ? e : 1.0f) / (1.0f + e);
}

__device__ __forceinline__ float activated(int activation, float x) {
  if (activation == kSilu) return x * sigmoid(x);
  if (activation == kGeluTanh) return x * sigmoid(2.0f * 0.797884561f * fmaf(0.044715f * x * x, x, x));
  return 0.5f * x * erfcf(-0.707106781f * x);
}
