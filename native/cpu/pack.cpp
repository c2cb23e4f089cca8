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

/* Four columns of a row: in the order 0, 2, 1, 3, and 128 more. */
uint32_t quad(const uint8_t* columns) {
  uint32_t word;
  std::memcpy(&word, columns, 4);
  return ((word & 0xff0000ff) | (word >> 8 & 0xff00) | (word << 8 & 0xff0000)) ^ 0x80808080;
}

} // namespace

void lathe_cpu_pack(const lathe_weight* weight, uint8_t* values, float* scales, int32_t* zeros) {
  const lathe_weight& w = *weight;
  for (int64_t block = 0; block < w.rows; block += kRows) {
    for (int64_t c = 0; c < w.cols; c += 4) {
      for (int64_t i = 0; i < kRows; i++, values += 4) {
        int64_t left = block + i < w.rows ? w.cols - c : 0;
        uint8_t columns[4] = {};
        int64_t from = (block + i) * w.value_stride + c;
        if (left >= 4) { /* of a fixed length: one instruction */
          std::memcpy(columns, w.values + from, 4);
        } else if (left > 0) {
          std::memcpy(columns, w.values + from, size_t(left));
        }
        uint32_t word = quad(columns);
        std::memcpy(values, &word, 4);
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
