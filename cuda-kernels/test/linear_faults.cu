/* A linear layer with one mistake, on purpose: what the comparison with the reference must catch.
 *
 * Only g++ compiles it. LinearKernelsTest expects `defect` 0 to pass and each other one to be found.
 */
#include "../common/gemv.cuh"

namespace {

enum Defect {
  kNone,
  kLastColumnMissed,
  kScaleOfNextRow,
  kScaleOfFirstGroup,
  kBiasTwice,
  kZeroPointIgnored,
  kOutputReplaced,
  kLastColumnTwice,
  kFirstTokenForAll,
  kXRoundedOnce
};

}  // namespace

/** A thread an output, weights in INT8. */
LATHE_KERNEL(linear_int8_with_defect, 256,
             (LINEAR_TENSORS, const int8_t* values, int64_t w_stride, const void* scale_values, const int8_t* zeros,
              int scales_are_bf16, int groups, int group_size, int64_t rows, int cols, int defect)) {
  Product p = LINEAR_PRODUCT;
  Scales scales = {scale_values, defect == kZeroPointIgnored ? nullptr : zeros, scales_are_bf16, groups, group_size};
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  if (defect == kOutputReplaced) p.add = 0;
  for (int t = 0; t < batch; t++) {
    const float* from = x + (defect == kFirstTokenForAll ? 0 : t) * x_stride;
    float sum = 0;
    for (int i = 0; i < cols - (defect == kLastColumnMissed) + (defect == kLastColumnTwice); i++) {
      int c = smaller(i, cols - 1);
      int group = defect == kScaleOfFirstGroup ? 0 : c / group_size;
      int64_t scaled_by = defect == kScaleOfNextRow ? (row + 1) % rows : row;
      float w = (static_cast<float>(values[row * w_stride + c]) - scales.zero(row, group)) * scales.scale(scaled_by, group);
      float value = defect == kXRoundedOnce ? widen(__float2bfloat16_rn(from[c])) : from[c];
      sum = fmaf(value, w, sum);
    }
    if (defect == kBiasTwice && bias != nullptr) sum += bias[row];
    finish(p, row, t, sum);
  }
}

/** linear_tiles_combine: 1 leaves out the last part, 2 adds the bias for each, 3 replaces the output, 4 mixes up tokens. */
LATHE_KERNEL(linear_combine_with_defect, 256, (LINEAR_TENSORS, const float* partial, int splits, int64_t rows, int defect)) {
  int64_t row = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  int t = static_cast<int>(blockIdx.y), cols = 0;
  if (row >= rows) return;
  Product p = LINEAR_PRODUCT;
  if (defect == 3) p.add = 0;
  float sum = 0;
  for (int s = 0; s < splits - (defect == 1); s++) {
    int from = defect == 4 ? (t + s) % batch : t;
    sum += partial[(static_cast<int64_t>(s) * batch + from) * rows + row];
    if (defect == 2 && s > 0 && bias != nullptr) sum += bias[row];
  }
  finish(p, row, t, sum);
}

namespace {

enum FusedDefect {
  kNoneOfThem,
  kFirstFactorForAll,
  kLastSquareMissed,
  kNormWeightsIgnored,
  kActivationOfUp,
  kUpOfNextOutput,
  kGateWithoutBias
};

}  // namespace

/** RMSNorm, a product with [gate, up] and the gate, a thread an output: x [batch, cols], w [2 n, cols]. */
LATHE_KERNEL(norm_linear_gate_with_defect, 256,
             (float* out, const float* x, const float* norm, float eps, const float* w, const float* bias, int batch, int n,
              int cols, int activation, int defect)) {
  for (int i = static_cast<int>(threadIdx.x); i < batch * n; i += static_cast<int>(blockDim.x)) {
    int t = i / n, output = i % n;
    const float *row = x + static_cast<int64_t>(t) * cols, *of_factor = defect == kFirstFactorForAll ? x : row;
    float factor = rms_factor(squares<false>(of_factor, cols - (defect == kLastSquareMissed), 0, 1), cols, eps);
    int up_row = n + (defect == kUpOfNextOutput ? (output + 1) % n : output);
    float gate = bias == nullptr || defect == kGateWithoutBias ? 0.0f : bias[output];
    float up = bias == nullptr ? 0.0f : bias[up_row];
    for (int c = 0; c < cols; c++) {
      float y = row[c] * factor * (defect == kNormWeightsIgnored ? 1.0f : norm[c]);
      gate = fmaf(y, w[static_cast<int64_t>(output) * cols + c], gate);
      up = fmaf(y, w[static_cast<int64_t>(up_row) * cols + c], up);
    }
    out[i] = defect == kActivationOfUp ? gate * activated(activation, up) : activated(activation, gate) * up;
  }
}
