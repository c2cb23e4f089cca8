/* Activations, and what else is done to each value by itself
 *
 *   gate        out[t, c] = f(x[t, c]) * x[t, n + c]       x [rows, 2n], out [rows, n]
 *   activate    out[i] = f(x[i])                           out may be x
 *   scale       x[i] = x[i] * factor
 *   soft_cap    x[i] = cap * tanh(x[i] / cap)
 *   f: common/activation.cuh
 *
 * f32, rows of gate out_stride and x_stride apart, the others without gaps; four values at a time where gate's n and strides
 * are multiples of 4 and all start at 16 bytes; any n and alignment is correct
 * moves 12 (gate) or 8 bytes a value, so they are bound by memory, in a decode step by their launch; not measured on a GPU yet
 * grid: gate: rows, pieces of a row; the others: any; any block size
 * twin: ReferenceBackend.gate, activate, scale, softCap          proof: ActivationKernelTest
 */
#include "common/activation.cuh"
#include "common/kv_types.cuh"

namespace {

/** y[i] = change(x[i]) for i < count; x and y may be the same. */
template <class Change>
__device__ __forceinline__ void each(float* y, const float* x, int64_t count, Change change) {
  int64_t thread = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int64_t threads = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int64_t fours = is_aligned16(x) && is_aligned16(y) ? count / 4 : 0;
  for (int64_t i = thread; i < fours; i += threads) {
    Four<float> four = load_four(x + 4 * i);
#pragma unroll
    for (int j = 0; j < 4; j++) four.values[j] = change(four.values[j]);
    store_four(y + 4 * i, four);
  }
  for (int64_t i = 4 * fours + thread; i < count; i += threads) y[i] = change(x[i]);
}

}  // namespace

LATHE_KERNEL(gate, 256,
             (float* out, const float* x, int64_t rows, int n, int64_t out_stride, int64_t x_stride, int activation)) {
  bool by_fours = n % 4 == 0 && out_stride % 4 == 0 && x_stride % 4 == 0 && is_aligned16(out) && is_aligned16(x);
  int start = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x);
  int step = static_cast<int>(gridDim.y * blockDim.x);
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* gates = x + row * x_stride;
    float* to = out + row * out_stride;
    if (by_fours) {
      for (int i = start; i < n / 4; i += step) {
        Four<float> g = load_four(gates + 4 * i), u = load_four(gates + n + 4 * i);
#pragma unroll
        for (int j = 0; j < 4; j++) g.values[j] = activated(activation, g.values[j]) * u.values[j];
        store_four(to + 4 * i, g);
      }
    } else {
      for (int c = start; c < n; c += step) to[c] = activated(activation, gates[c]) * gates[n + c];
    }
  }
}

LATHE_KERNEL(activate, 256, (float* out, const float* x, int64_t count, int activation)) {
  each(out, x, count, [=](float value) { return activated(activation, value); });
}

LATHE_KERNEL(scale, 256, (float* x, float factor, int64_t count)) {
  each(x, x, count, [=](float value) { return value * factor; });
}

LATHE_KERNEL(soft_cap, 256, (float* x, float cap, int64_t count)) {
  each(x, x, count, [=](float value) { return cap * tanhf(value / cap); });
}
