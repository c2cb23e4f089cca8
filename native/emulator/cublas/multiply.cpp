#include "multiply.h"

#include <algorithm>
#include <bit>
#include <type_traits>
#include <vector>

namespace lathe::emulator {

namespace {

constexpr int64_t kRows = 256;    // of C at a time: with kColumns, what stays in the L1 cache
constexpr int64_t kColumns = 4;

float from_bf16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/** Rounds to nearest, ties to even; a NaN stays one. */
uint16_t to_bf16(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float to_tf32(float value) {
  uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7f800000) == 0x7f800000) return value;
  return std::bit_cast<float>((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fffu);
}

template <class T>
const T* elements(uintptr_t address, int64_t offset) {
  return reinterpret_cast<const T*>(address) + offset;
}

/** `count` elements from element `offset` on. */
template <class T>
void load(const Matrix& matrix, int64_t offset, int64_t count, T* to) {
  switch (matrix.type) {
    case kF32:
      std::copy_n(elements<float>(matrix.address, offset), count, to);
      break;
    case kF16:
      std::copy_n(elements<_Float16>(matrix.address, offset), count, to);
      break;
    case kBf16:
      std::transform(elements<uint16_t>(matrix.address, offset),
                     elements<uint16_t>(matrix.address, offset) + count, to,
                     [](uint16_t bits) { return static_cast<T>(from_bf16(bits)); });
      break;
    case kI8:
      std::copy_n(elements<int8_t>(matrix.address, offset), count, to);
      break;
    default:
      std::copy_n(elements<int32_t>(matrix.address, offset), count, to);
  }
}

void store(const Matrix& matrix, int64_t offset, int64_t count, const float* from) {
  switch (matrix.type) {
    case kF32:
      std::copy_n(from, count, const_cast<float*>(elements<float>(matrix.address, offset)));
      break;
    case kF16:
      std::transform(from, from + count, const_cast<_Float16*>(elements<_Float16>(matrix.address, offset)),
                     [](float value) { return static_cast<_Float16>(value); });
      break;
    default:
      std::transform(from, from + count, const_cast<uint16_t*>(elements<uint16_t>(matrix.address, offset)), to_bf16);
  }
}

void store(const Matrix& matrix, int64_t offset, int64_t count, const uint32_t* from) {
  std::copy_n(from, count, const_cast<uint32_t*>(elements<uint32_t>(matrix.address, offset)));
}

/** Lines [first, first + lines) of length `length`, packed so that one element of all lines lies together; a line is a
 * column of the matrix, or where `across`, a row.
 */
template <class T>
std::vector<T> pack(const Matrix& matrix, int64_t origin, bool across, int64_t first, int64_t lines, int64_t length) {
  std::vector<T> packed(static_cast<size_t>(lines * length));
  if (across) {
    for (int64_t i = 0; i < length; i++)
      load(matrix, origin + i * matrix.leading + first, lines, packed.data() + i * lines);
    return packed;
  }
  std::vector<T> line(static_cast<size_t>(length));
  for (int64_t j = 0; j < lines; j++) {
    load(matrix, origin + (first + j) * matrix.leading, length, line.data());
    for (int64_t i = 0; i < length; i++) packed[static_cast<size_t>(i * lines + j)] = line[static_cast<size_t>(i)];
  }
  return packed;
}

void round_to_tf32(std::vector<float>& values) { std::ranges::transform(values, values.begin(), to_tf32); }
void round_to_tf32(std::vector<uint32_t>&) {}

/** A tile of C: sums[column][row] over k, one addition after another. */
template <class T>
void sum(const std::vector<T>& a, const std::vector<T>& b, int64_t rows, int64_t k, int64_t n, int64_t column,
         int64_t columns, T sums[kColumns][kRows]) {
  for (int64_t j = 0; j < columns; j++) std::fill_n(sums[j], rows, T{});
  for (int64_t i = 0; i < k; i++) {
    const T* left = a.data() + i * rows;
    for (int64_t j = 0; j < columns; j++) {
      T right = b[static_cast<size_t>(i * n + column + j)];
      T* to = sums[j];
      for (int64_t r = 0; r < rows; r++) to[r] += left[r] * right;
    }
  }
}

template <class T>
void multiply_as(const Product& p) {
  // An int32 that wraps is computed as unsigned, for which C++ defines it.
  using Signed = std::conditional_t<std::is_same_v<T, float>, float, int32_t>;
  auto scalar = [](double value) { return static_cast<T>(static_cast<Signed>(value)); };
  T alpha = scalar(scalar_value(p.alpha)), beta = scalar(scalar_value(p.beta));
  T sums[kColumns][kRows], old[kRows];
  for (int64_t batch = 0; batch < p.batches; batch++) {
    std::vector<T> b = pack<T>(p.b, batch * p.b.apart, p.transpose_b, 0, p.n, p.k);
    if (p.tf32) round_to_tf32(b);
    for (int64_t row = 0; row < p.m; row += kRows) {
      int64_t rows = std::min(kRows, p.m - row);
      std::vector<T> a = pack<T>(p.a, batch * p.a.apart, !p.transpose_a, row, rows, p.k);
      if (p.tf32) round_to_tf32(a);
      for (int64_t column = 0; column < p.n; column += kColumns) {
        int64_t columns = std::min(kColumns, p.n - column);
        sum(a, b, rows, p.k, p.n, column, columns, sums);
        for (int64_t j = 0; j < columns; j++) {
          int64_t offset = batch * p.c.apart + (column + j) * p.c.leading + row;
          for (int64_t r = 0; r < rows; r++) sums[j][r] *= alpha;
          if (beta != T{}) {  // with a beta of 0, C is never read
            load(p.c, offset, rows, old);
            for (int64_t r = 0; r < rows; r++) sums[j][r] += beta * old[r];
          }
          store(p.c, offset, rows, sums[j]);
        }
      }
    }
  }
}

}  // namespace

void multiply(const Product& product) {
  if (product.integer)
    multiply_as<uint32_t>(product);
  else
    multiply_as<float>(product);
}

void multiply(const VectorProduct& p) {
  float alpha = static_cast<float>(scalar_value(p.alpha)), beta = static_cast<float>(scalar_value(p.beta));
  int64_t outputs = p.transpose ? p.n : p.m, inputs = p.transpose ? p.m : p.n;
  const float* a = elements<float>(p.a, 0);
  const float* x = elements<float>(p.x, 0);
  float* y = const_cast<float*>(elements<float>(p.y, 0));
  for (int64_t i = 0; i < outputs; i++) {
    float total = 0;
    for (int64_t j = 0; j < inputs; j++)
      total += a[p.transpose ? i * p.leading + j : j * p.leading + i] * x[j * p.step_x];
    float& out = y[i * p.step_y];
    out = alpha * total + (beta != 0 ? beta * out : 0);
  }
}

}  // namespace lathe::emulator
