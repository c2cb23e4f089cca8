/* The copy of an INT8 matrix that int8_impl.h multiplies. */
#include <cstring>
#include "lathe_cpu.h"

namespace {

constexpr int64_t kRows = LATHE_PACKED_ROWS;

float scaleOf(const lathe_weight& w, int64_t index) {
  if (w.scale_type == LATHE_SCALE_F32) {
    float scale;
    std::memcpy(&scale, w.scales + 4 * index, 4);
    return scale;
  }
  if (w.scale_type == LATHE_SCALE_BF16) {
    uint16_t half;
    std::memcpy(&half, w.scales + 2 * index, 2);
    uint32_t bits = uint32_t(half) << 16;
    float scale;
    std::memcpy(&scale, &bits, 4);
    return scale;
  }
  return 1;
}

} // namespace

void lathe_cpu_pack(const lathe_weight* weight, uint8_t* values, float* scales, int32_t* zeros) {
  const lathe_weight& w = *weight;
  constexpr int64_t order[4] = {0, 2, 1, 3};
  for (int64_t block = 0; block < w.rows; block += kRows) {
    for (int64_t c = 0; c < w.cols; c += 4) {
      for (int64_t i = 0; i < kRows; i++) {
        for (int64_t k : order) {
          bool inside = block + i < w.rows && c + k < w.cols;
          *values++ = inside ? uint8_t(w.values[(block + i) * w.value_stride + c + k] ^ 0x80) : 0x80;
        }
      }
    }
  }
  int64_t padded = (w.rows + kRows - 1) / kRows * kRows;
  for (int64_t g = 0; g < w.groups; g++) {
    for (int64_t r = 0; r < padded; r++) {
      bool inside = r < w.rows;
      *scales++ = inside ? scaleOf(w, r * w.groups + g) : 0;
      if (zeros) {
        *zeros++ = 128 + (inside ? int8_t(w.zeros[r * w.groups + g]) : 0);
      }
    }
  }
}
